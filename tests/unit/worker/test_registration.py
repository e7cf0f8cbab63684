"""The reports of a worker about itself, including the last one."""

from __future__ import annotations

import os
import threading
from typing import cast

import pytest

from baton.domain.store_identity import StoreRef
from baton.domain.wire import WorkerReport
from worker.api_client.client import Refused, ServiceClient, ServiceUnavailable
from worker.settings import WorkerSettings
from worker.store_access.own_store import WorkerStore
from worker.supervisor import registration
from worker.supervisor.crashes import Crashes
from worker.supervisor.registration import (
    Registration,
)
from worker.supervisor.supervisor import Supervisor
from worker.worker_info import worker_info

SETTINGS = WorkerSettings(token="a-token", store="file:///nowhere", worker_name="w1")


class Service:
    """Records reports. Each entry of `fails` is raised by one report, in order."""

    def __init__(self, *fails: Exception) -> None:
        self.heard: list[WorkerReport] = []
        self.fails = list(fails)
        self.asked: list[float | None] = []

    def report(self, report: WorkerReport, seconds: float | None = None) -> None:
        self.asked.append(seconds)
        if self.fails:
            raise self.fails.pop(0)
        self.heard.append(report)


class FakeSeat:
    device, busy, problem = "cpu", True, None

    def __init__(self) -> None:
        self.crashes = Crashes()


class FakeStore:
    ref = StoreRef(url="file:///nowhere", id="a" * 32)


SEAT = cast(Supervisor, FakeSeat())


def made(service: Service) -> Registration:
    return Registration(
        cast(ServiceClient, service), SETTINGS, ["default"], lambda _why: None, cast(WorkerStore, FakeStore())
    )


def test_a_training_process_is_the_worker_that_started_it() -> None:
    assert (worker_info(SETTINGS, "cpu").pid, worker_info(SETTINGS, "cpu", pid=7).pid) == (os.getpid(), 7)


def test_the_last_word_is_that_it_ends_and_nothing_follows() -> None:
    service = Service()
    one = made(service)
    one.report(SEAT)
    one.end(SEAT)
    one.report(SEAT)
    assert [(report.ended, report.busy) for report in service.heard] == [(False, True), (True, False)]
    assert service.asked == [None, registration.GOODBYE_SECONDS]


@pytest.mark.parametrize("error", [ServiceUnavailable("away"), Refused(401, "unauthorized", "who are you")])
def test_a_service_that_does_not_hear_it_keeps_nobody_from_ending(error: Exception) -> None:
    service = Service(error)
    made(service).end(SEAT)
    assert service.heard == []


def test_a_report_that_hangs_is_waited_for_only_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other report is sent at the same time: the hanging one could arrive later and mark the worker as running
    again.
    """
    monkeypatch.setattr(registration, "GOODBYE_SECONDS", 0.05)
    begun, let_go = threading.Event(), threading.Event()

    class Hanging(Service):
        def report(self, report: WorkerReport, seconds: float | None = None) -> None:
            begun.set()
            let_go.wait(60)
            super().report(report, seconds)

    service = Hanging()
    one = made(service)
    thread = threading.Thread(target=one.report, args=(SEAT,))
    thread.start()
    begun.wait(60)
    one.end(SEAT)
    assert service.heard == []
    let_go.set()
    thread.join(60)
    assert [report.ended for report in service.heard] == [False]


def test_a_store_that_was_found_meanwhile_is_reported_at_once() -> None:
    """A regular check may find the identity between the report and its refusal: that is no reason to give up."""
    absent, there = (
        StoreRef(url="file:///nowhere", problem="no Baton store"),
        StoreRef(url="file:///nowhere", id="a" * 32),
    )

    class Store:
        ref = absent

        def look(self) -> StoreRef:
            return self.ref

    store = Store()

    class Checking(Service):
        def report(self, report: WorkerReport, seconds: float | None = None) -> None:
            store.ref = there  # the service wrote the identity, and the regular check of the worker saw it
            super().report(report, seconds)

    service = Checking(Refused(409, "wrong-store", "no Baton store"))
    one = Registration(cast(ServiceClient, service), SETTINGS, ["default"], lambda _why: None, cast(WorkerStore, store))
    one.report(SEAT)
    assert one.refusal is None
    assert [report.store for report in service.heard] == [there]
