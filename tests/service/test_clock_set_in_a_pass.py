"""The clock is set after a pass has compared the clocks and before the pass acts.

The pass must not apply its old comparison to newer times.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update

from baton.domain.uptime import Served
from service.db.tables import Attempt, Job
from service.db.types import db_now
from service.db.unit_of_work import Unit
from service.reconciler import checkpoint_watchdog, enforcement
from service.reconciler.silent_workers import SilentWorkers
from service.usecases.attempt_outcomes import OrderTimeouts
from tests.service.helpers import ON_BOTH, Api, WorkerHand
from tests.support.moved_clock import MovedClock

pytestmark = ON_BOTH

LEASE, HEARTBEAT = 30.0, 10.0
Look = Callable[[], Served]


def silent_for(api: Api, hand: WorkerHand, seconds: float) -> None:
    """Set the worker's last heartbeat to this many seconds ago."""
    with api.services.database.read() as session:
        beat = Unit(session).now() - timedelta(seconds=seconds)
    begun = beat - timedelta(seconds=200)
    times = {"beat_at": beat, "claimed_at": begun, "started_at": begun}
    api.set_attempt(hand.attempt_id, lease_expires_at=beat + timedelta(seconds=LEASE), **times)


def followed_by(api: Api, act: Callable[[], object]) -> Look:
    """A comparison of the clocks in a service that has run for an hour. It calls `act` after the comparison."""

    def look() -> Served:
        found = api.services.reconciler.guard.look()
        act()
        return Served(found.now, found.now - timedelta(hours=1))

    return look


def test_a_worker_that_beats_after_the_clock_was_set_back_keeps_its_lease(api: Api, moved: MovedClock) -> None:
    hand = api.running()
    silent_for(api, hand, LEASE + 1)

    def set_back() -> None:
        moved.move(-3600)
        assert hand.beat().status_code == 200

    services = api.services
    enforcement.expire_leases(services.database, services.reconciler.isolation, followed_by(api, set_back), LEASE)
    assert api.job(hand.job_id)["status"] == "running"
    assert hand.beat().status_code == 200


def test_a_clock_that_is_set_forward_ends_no_lease(api: Api, moved: MovedClock) -> None:
    hand, services = api.running(), api.services
    look = followed_by(api, lambda: moved.move(3600))
    enforcement.expire_leases(services.database, services.reconciler.isolation, look, LEASE)
    assert api.job(hand.job_id)["status"] == "running"


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_a_new_pause_or_cancellation_has_its_whole_grace_period(api: Api, moved: MovedClock, seconds: float) -> None:
    hand, services = api.running(), api.services
    api.ask(hand.job_id, "pause")
    with services.database.write() as session:
        session.execute(update(Job).values(desired_at=Unit(session).now() - timedelta(minutes=10)))

    def order_anew() -> None:
        moved.move(seconds)
        api.ask(hand.job_id, "resume")
        api.ask(hand.job_id, "pause")

    look = followed_by(api, order_anew)
    enforcement.enforce_orders(services.database, services.reconciler.isolation, look, OrderTimeouts(20.0, 60.0))
    assert api.job(hand.job_id)["status"] == "pausing"


def test_a_worker_that_was_just_heard_of_is_not_called_silent(api: Api, moved: MovedClock) -> None:
    hand, services = api.running(), api.services
    silent_for(api, hand, 25)

    def set_back() -> None:
        moved.move(-22)
        assert hand.beat().status_code == 200

    silence = SilentWorkers(services.database, services.reconciler.isolation, LEASE, HEARTBEAT)
    silence.run(followed_by(api, set_back))
    assert "worker_silent" not in api.kinds(hand.job_id)
    silent_for(api, hand, 25)
    silence.run(followed_by(api, lambda: None))
    assert "worker_silent" in api.kinds(hand.job_id)


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_a_new_checkpoint_is_not_called_overdue(api: Api, moved: MovedClock, seconds: float) -> None:
    hand, services = api.running(), api.services
    hand.beat("training", interval_seconds=15)
    silent_for(api, hand, 0)

    def commit() -> None:
        moved.move(seconds)
        assert hand.checkpoint(5).is_success

    checkpoint_watchdog.watch_checkpoints(services.database, services.reconciler.isolation, followed_by(api, commit))
    assert "checkpoint_overdue" not in api.kinds(hand.job_id)
    with services.database.write() as session:
        session.execute(update(Attempt).values(started_at=db_now()))
    checkpoint_watchdog.watch_checkpoints(
        services.database, services.reconciler.isolation, followed_by(api, lambda: moved.move(90))
    )
    assert "checkpoint_overdue" not in api.kinds(hand.job_id)
