"""A note that the service refuses does not make an attempt fail."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from baton.domain.spec import JobSpec
from baton.domain.wire import Grant, Note
from tests.service.helpers import SPEC
from tests.support.answers import refusal
from worker.api_client.answers import Refused, ServiceUnavailable, check
from worker.api_client.client import ServiceClient
from worker.attempt.context import AttemptContext
from worker.attempt.lease import Lease
from worker.checkpointing.store_troubles import StoreTroubles
from worker.preemption.deadline import Pace
from worker.preemption.notice import Notice


class Service:
    """Accepts notes, or refuses them."""

    def __init__(self) -> None:
        self.taken: list[Note] = []
        self.refusal: Exception | None = None

    def note(self, _attempt: str, note: Note) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.taken.append(note)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def context(service: Service) -> Iterator[AttemptContext]:
    grant = Grant(
        attempt_id="a",
        job_id="j",
        attempt=1,
        fence=3,
        lease_seconds=30,
        heartbeat_seconds=10,
        spec=SPEC,
        checkpoints=(),
        seconds_between_interruptions=3600,
    )
    lease = SimpleNamespace(check=lambda: None, lose=lambda _why: None, interval_seconds=None, troubles=StoreTroubles())
    made = AttemptContext(
        client=cast(ServiceClient, service),
        store=cast(Any, None),
        lease=cast(Lease, lease),
        notice=Notice(),
        grant=grant,
        spec=JobSpec.model_validate(SPEC),
        environment={},
        pace=cast(Pace, None),
    )
    yield made
    made.uploads.close()


def test_a_note_that_is_too_long_is_cut(context: AttemptContext, service: Service) -> None:
    context.note("hello", "m" * 50_000, {"a": "x" * 1_000_000, "b": 2})
    assert context.uploads.flush(seconds=60)
    (note,) = service.taken
    assert (len(note.message), note.data["b"], note.data["cut"]) == (20_000, 2, True)


@pytest.mark.parametrize("status", [413, 422, 429])
def test_a_note_that_is_refused_is_left_out(context: AttemptContext, service: Service, status: int) -> None:
    service.refusal = Refused(status, "too-many-writes", "no")
    context.note("hello", "one")
    assert context.uploads.flush(seconds=60)
    service.refusal = None
    context.note("hello", "two")
    assert context.uploads.flush(seconds=60)
    assert [note.message for note in service.taken] == ["two"]


def test_what_was_written_too_often_is_not_sent_again_and_what_was_busy_is() -> None:
    with pytest.raises(Refused):
        check(refusal(429, "too-many-writes"))
    with pytest.raises(ServiceUnavailable):
        check(refusal(429, "too-many-at-once"))
