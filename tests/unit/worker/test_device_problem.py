"""A worker whose training process cannot use its device takes no work, reports the reason, and checks again later."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from baton.domain.store_identity import StoreRef
from baton.domain.wire import WorkerReport
from worker.api_client.client import ServiceClient
from worker.log_shipping.shipper import Logs
from worker.settings import WorkerSettings
from worker.store_access.own_store import WorkerStore
from worker.supervisor import supervisor as module
from worker.supervisor.registration import Registration
from worker.supervisor.supervisor import Supervisor

pytestmark = pytest.mark.process

WHY = "NVIDIA's driver shows a GPU, and TensorFlow cannot use it: libcudnn.so.9 cannot be loaded"


class Service:
    """Records the last report."""

    heard: WorkerReport | None = None

    def report(self, report: WorkerReport) -> None:
        self.heard = report


class Store:
    ref = StoreRef(url="file:///nowhere", id="a" * 32)


def told(supervisor: Supervisor) -> str | None:
    """The problem of the worker that the service receives."""
    service, settings = Service(), WorkerSettings(token="t", store="file:///nowhere", worker_name="w1")
    Registration(cast(ServiceClient, service), settings, [], lambda _: None, cast(WorkerStore, Store())).report(
        supervisor
    )
    assert service.heard is not None
    return service.heard.problem


def test_it_waits_until_the_device_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = tmp_path / "problem"
    problem.write_text(WHY)
    monkeypatch.setenv("BATON_FAKE_DEVICE_PROBLEM", str(problem))
    monkeypatch.setenv("BATON_TOKEN", "t")
    monkeypatch.setenv("BATON_STORE", tmp_path.as_uri())
    client = ServiceClient("http://127.0.0.1:1", "t")
    with Supervisor(client, grace=1.0, logs=Logs(tmp_path.as_uri()), module="tests.support.fake_process") as supervisor:
        assert supervisor.await_warm()
        assert not supervisor.await_device(seconds=0)
        assert told(supervisor) == WHY
        problem.unlink()
        assert not supervisor.await_device(seconds=0)  # the waiting process has not checked again
        monkeypatch.setattr(module, "DEVICE_AGAIN_SECONDS", 0.0)
        assert supervisor.await_device(seconds=60)
        assert told(supervisor) is None
