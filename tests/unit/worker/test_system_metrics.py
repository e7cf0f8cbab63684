"""System metrics: one sample each 30 seconds, sent later if the service does not answer, and never after the lease."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from baton.domain.errors import LeaseLost
from baton.domain.series import SeriesPoint
from baton.system.nvml import GpuLoad
from worker import system_metrics
from worker.api_client.client import Refused, ServiceUnavailable
from worker.system_metrics import SECONDS, GpuSource, HostSource, SystemMetrics, sources


class Clock:
    """A clock that each wait moves on. The waits end when `samples` were taken."""

    def __init__(self, samples: int) -> None:
        self.now, self.left, self.ended = 1_000.5, samples, threading.Event()

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        self.left -= 1
        if self.left < 0:
            self.ended.set()
        return self.left < 0


class Load:
    """A source whose value is the number of its reads."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self) -> dict[str, float]:
        self.reads += 1
        return {"cpu": float(self.reads)}


class Sent:
    """Keeps what is sent. Raises the errors in turn; None: accepts."""

    def __init__(self, *errors: Exception | None) -> None:
        self.batches: list[list[SeriesPoint]] = []
        self._errors = list(errors)

    def __call__(self, points: Sequence[SeriesPoint]) -> None:
        error = self._errors.pop(0) if self._errors else None
        if error is not None:
            raise error
        self.batches.append(list(points))


def point(number: int) -> SeriesPoint:
    at = 1_000.5 + SECONDS * number
    return SeriesPoint(name="system/cpu", step=int(at), value=float(number), at=at)


def run(sent: Sent, samples: int) -> Load:
    clock, load = Clock(samples), Load()
    with SystemMetrics(sent, [load], clock=clock, wait=clock.wait) as metrics:
        metrics._thread.join(60)
    return load


def test_each_sample_is_sent_with_its_time_as_step() -> None:
    sent = Sent()
    run(sent, 3)
    assert sent.batches == [[point(1)], [point(2)], [point(3)]]


def test_samples_wait_while_the_service_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "KEPT", 2)
    sent = Sent(*[ServiceUnavailable("away")] * 3)
    run(sent, 4)
    assert sent.batches == [[point(3), point(4)]]


@pytest.mark.parametrize("error", [LeaseLost("lost"), Refused(422, "invalid-request", "no"), OSError("odd")])
def test_nothing_is_sent_after_a_refusal(error: Exception) -> None:
    sent = Sent(error)
    assert run(sent, 4).reads == 1
    assert sent.batches == []


def test_the_end_of_the_attempt_ends_the_samples() -> None:
    with SystemMetrics(Sent(), [Load()]) as metrics:
        pass
    metrics._thread.join(60)
    assert not metrics._thread.is_alive()


def test_this_machine_is_measured(tmp_path: Path) -> None:
    (host, *_) = sources(tmp_path)
    found = host.read()
    assert {"memory", "disk"} <= set(found) <= {"cpu", "memory", "disk"}
    assert all(0 <= value <= 100 for value in found.values())
    assert "disk" not in HostSource(tmp_path / "absent").read()


def test_a_gpu_reports_what_it_knows() -> None:
    class Nvml:
        def loads(self) -> list[GpuLoad]:
            return [GpuLoad(50.0, 25.0, 61.0, 250.5), GpuLoad(0.0, None, None, None)]

    assert GpuSource(Nvml()).read() == {  # type: ignore[arg-type]  # only its loads are read
        "gpu0": 50.0, "gpu0_memory": 25.0, "gpu0_temperature": 61.0, "gpu0_power": 250.5, "gpu1": 0.0,
    }  # fmt: skip
