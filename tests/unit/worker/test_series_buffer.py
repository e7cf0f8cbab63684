"""Points that wait: sent in batches, up to a checkpoint's step before its commit, kept after an error, bounded."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from baton.domain.series import BATCH_POINTS, SeriesPoint
from worker.api_client.client import ServiceUnavailable
from worker.checkpointing.series_buffer import MOST, Point, SeriesBuffer
from worker.checkpointing.upload_queue import UploadTask


class Service:
    """Keeps what is sent. `failures`: calls that fail. `left_out`: the answer."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.failures = 0
        self.left_out: frozenset[str] = frozenset()

    def series(self, attempt_id: str, fence: int, points: Sequence[SeriesPoint]) -> frozenset[str]:
        assert (attempt_id, fence) == ("a", 4)
        if self.failures:
            self.failures -= 1
            raise ServiceUnavailable("away")
        self.calls.append([point.step for point in points])
        return self.left_out


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def tasks() -> list[UploadTask]:
    return []


@pytest.fixture
def notes() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def buffer(service: Service, tasks: list[UploadTask], notes: list[tuple[str, str]]) -> SeriesBuffer:
    grant = SimpleNamespace(attempt_id="a", fence=4)
    return SeriesBuffer(service, grant, tasks.append, lambda *note: notes.append(note))  # type: ignore[arg-type]


def points(*steps: int) -> list[Point]:
    return [Point("loss", step, 0.5, 1e9 + step) for step in steps]


def test_a_checkpoint_needs_only_its_own_points(buffer: SeriesBuffer, service: Service) -> None:
    buffer.add(points(1, 2, 3))
    buffer.flush(2)
    assert service.calls == [[1, 2]]
    buffer.flush()
    assert service.calls == [[1, 2], [3]]


def test_after_an_error_the_points_are_sent_again(buffer: SeriesBuffer, service: Service) -> None:
    buffer.add(points(1, 2))
    service.failures = 1
    with pytest.raises(ServiceUnavailable):
        buffer.flush()
    buffer.flush()
    assert service.calls == [[1, 2]]


def test_many_points_go_in_batches(buffer: SeriesBuffer, service: Service) -> None:
    buffer.add(points(*range(BATCH_POINTS + 1)))
    buffer.flush()
    assert [len(call) for call in service.calls] == [BATCH_POINTS, 1]


def test_one_task_is_queued_in_some_seconds_and_at_the_end(buffer: SeriesBuffer, tasks: list[UploadTask]) -> None:
    buffer.add(points(1))
    buffer.add(points(2))
    assert len(tasks) == 1
    buffer.add((), now=True)
    assert len(tasks) == 2
    tasks[1].send()
    buffer.add((), now=True)  # nothing is left
    assert len(tasks) == 2


def test_in_a_long_outage_every_second_point_is_dropped(
    buffer: SeriesBuffer, service: Service, notes: list[tuple[str, str]]
) -> None:
    for begin in range(0, 2 * MOST, 10_000):
        buffer.add(points(*range(begin, begin + 10_000)))
    buffer.flush()
    assert MOST / 2 <= sum(map(len, service.calls)) <= MOST
    assert [kind for kind, _ in notes] == ["series_thinned"]


def test_series_that_the_service_leaves_out_are_named_once(
    buffer: SeriesBuffer, service: Service, notes: list[tuple[str, str]]
) -> None:
    service.left_out = frozenset({"loss"})
    for step in (1, 2):
        buffer.add(points(step))
        buffer.flush()
    assert [kind for kind, _ in notes] == ["series_left_out"]
    service.left_out = frozenset(f"s{k}" for k in range(1_000))
    buffer.add(points(3))
    buffer.flush()
    assert notes[-1][1].endswith("s114, s115 and 980 more")
