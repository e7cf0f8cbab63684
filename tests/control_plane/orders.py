"""The jobs that users order and the requests that they send later, drawn from a seed, with the expected results."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from baton.domain.reasons import Reason
from baton.domain.states import JobState
from tests.support.fast_jobs import fast

PATIENT = {"max_failures": 1000, "max_attempts_without_progress": 1000, "backoff": "0.2s"}
SHORT = {"max_failures": 2, "max_attempts_without_progress": 5, "backoff": "0.2s"}


class Kind(StrEnum):
    """The purpose of a job."""

    PLAIN = "plain"
    PAUSED = "paused and resumed"
    CANCELLED = "cancelled"
    PAUSED_THEN_CANCELLED = "paused, then cancelled"
    FAILS_ONCE = "fails once"
    DIES_ONCE = "dies once"
    FAILS_ALWAYS = "fails always"
    BAD_DATA = "has bad data"
    CANCELLED_THEN_RETRIED = "cancelled, then retried"
    FAILED_THEN_RETRIED = "failed, then retried"
    DELETED = "deleted"
    TRAINED_ON = "trains on from another job"


WEIGHTS = {
    Kind.PLAIN: 42,
    Kind.PAUSED: 12,
    Kind.CANCELLED: 8,
    Kind.PAUSED_THEN_CANCELLED: 4,
    Kind.FAILS_ONCE: 8,
    Kind.DIES_ONCE: 4,
    Kind.FAILS_ALWAYS: 6,
    Kind.BAD_DATA: 4,
    Kind.CANCELLED_THEN_RETRIED: 6,
    Kind.FAILED_THEN_RETRIED: 6,
    Kind.DELETED: 6,
    Kind.TRAINED_ON: 6,
}
RETRY, DELETE = "retry", "delete"
SINGLE = {Kind.CANCELLED: "cancel", Kind.FAILED_THEN_RETRIED: RETRY, Kind.DELETED: DELETE}
"""The only request about a job of this kind."""

GIVEN_UP = frozenset({Reason.TOO_MANY_FAILURES, Reason.NO_PROGRESS, Reason.DETERMINISTIC_FAILURE})


@dataclass(frozen=True)
class Wish:
    """A request of the owner, this many seconds after the job was accepted.

    A RETRY waits for the end of the job. A DELETE does not: it cancels the job.
    """

    after: float
    action: str


@dataclass(frozen=True)
class Order:
    """One job. `steps`: the steps of all epochs. `at`: seconds from the start of the run.

    `source`: the number of the order from whose job this one starts, with more epochs. `spec` is then the request.
    """

    number: int
    at: float
    kind: Kind
    spec: dict[str, Any]
    steps: int
    wishes: tuple[Wish, ...]
    source: int | None = None

    @property
    def state(self) -> JobState:
        """The expected final state. A deleted job may have any."""
        if self.kind in (Kind.CANCELLED, Kind.PAUSED_THEN_CANCELLED):
            return JobState.CANCELLED
        return JobState.FAILED if self.kind in (Kind.FAILS_ALWAYS, Kind.BAD_DATA) else JobState.SUCCEEDED

    @property
    def reasons(self) -> frozenset[str | None]:
        """The allowed reasons of the final state."""
        if self.kind is Kind.BAD_DATA:
            return frozenset({Reason.BAD_DATA})
        return {JobState.FAILED: GIVEN_UP, JobState.CANCELLED: frozenset({Reason.CANCELLED})}.get(
            self.state, frozenset({None})
        )


def orders(seed: int, number: int, seconds: float) -> list[Order]:
    """`number` jobs: a third of them immediately, the others spread over the given time."""
    draw = random.Random(f"orders of {seed}")
    times = [0.0] * (number // 3) + sorted(draw.uniform(0, seconds) for _ in range(number - number // 3))
    found = [_order(draw, k, at) for k, at in enumerate(times)]
    return [_from_another(draw, one, found) if one.kind is Kind.TRAINED_ON else one for one in found]


def _from_another(draw: random.Random, order: Order, all_orders: list[Order]) -> Order:
    source = draw.choice([one for one in all_orders if one.kind is Kind.PLAIN])
    [stage] = source.spec["stages"]
    epochs = stage["epochs"] + draw.randint(1, 3)
    request = {"name": order.spec["name"], "set": {"stages.0.epochs": epochs}}
    return replace(order, spec=request, steps=epochs * stage["steps_per_epoch"], source=source.number)


def _order(draw: random.Random, number: int, at: float) -> Order:
    kind = draw.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    wishes = _wishes(draw, kind)
    endless = kind in (Kind.CANCELLED, Kind.PAUSED_THEN_CANCELLED)
    epochs, steps = (500, 100) if endless else (draw.randint(1, 4), draw.randint(5, 25))
    spec = fast(
        f"{number:04d}-{kind.split()[0].rstrip(',')}",
        epochs=epochs,
        steps=steps,
        every=draw.choice([1, 3, 7, 20]),
        fake={"step-seconds": round(draw.uniform(0.002, 0.02), 4), **_failure(draw, kind, epochs * steps)},
        retry=SHORT if kind is Kind.FAILS_ALWAYS else PATIENT,
        queue=draw.choice(["default", "default", "other"]),
        priority=draw.choice(["high", "normal", "normal", "low"]),
    )
    return Order(number, at, kind, spec, epochs * steps, wishes)


def _wishes(draw: random.Random, kind: Kind) -> tuple[Wish, ...]:
    first = draw.uniform(0, 6)
    match kind:
        case Kind.PAUSED:
            return Wish(first, "pause"), Wish(first + draw.uniform(0, 4), "resume")
        case Kind.CANCELLED | Kind.FAILED_THEN_RETRIED | Kind.DELETED:
            return (Wish(first, SINGLE[kind]),)
        case Kind.PAUSED_THEN_CANCELLED:
            return Wish(first, "pause"), Wish(first + draw.uniform(0, 3), "cancel")
        case Kind.CANCELLED_THEN_RETRIED:
            return Wish(first, "cancel"), Wish(first + draw.uniform(0, 3), RETRY)
    return ()


def _failure(draw: random.Random, kind: Kind, steps: int) -> dict[str, Any]:
    at = {"fail-at": draw.randrange(steps)}
    match kind:
        case Kind.FAILS_ONCE:
            return {**at, "fail-attempts": 1, "fail-how": draw.choice(["exception", "memory"])}
        case Kind.DIES_ONCE:
            return {**at, "fail-attempts": 1, "fail-how": draw.choice(["killed", "exited"])}
        case Kind.FAILS_ALWAYS:
            return at
        case Kind.BAD_DATA:
            return {**at, "fail-how": "bad-data"}
        case Kind.FAILED_THEN_RETRIED:
            return {**at, "fail-attempts": 1, "fail-how": "bad-data"}
    return {}
