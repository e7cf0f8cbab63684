"""A time in which the service could take no heartbeats ends no lease. A worker that died is still found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, select, update

from baton.domain.uptime import Served, Span, longest_gap, served, since
from service.db.operation_tables import Replica
from service.db.tables import Attempt
from service.db.unit_of_work import Unit
from service.reconciler.leader_election import boot_clock
from service.reconciler.lease_guard import LeaseGuard
from service.usecases.leases import renew_after_outage
from tests.service.helpers import ON_BOTH, ON_POSTGRESQL, Api, WorkerHand, eventually
from tests.support.moved_clock import MovedClock
from tests.support.postgres import PostgresServer

pytestmark = ON_BOTH

LEASE, HEARTBEAT = 30.0, 10.0
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def span(begun: float, ended: float) -> Span:
    return Span(at(begun), at(ended))


class Local:
    """A replica's own clock, which tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def db_time(api: Api) -> datetime:
    with api.services.database.read() as session:
        return Unit(session).now()


def expiry(api: Api, hand: WorkerHand) -> datetime:
    """The end of the lease."""
    with api.services.database.read() as session:
        found = session.scalar(select(Attempt.lease_expires_at).where(Attempt.id == hand.attempt_id))
    assert found is not None
    return found


def expires_in(api: Api, hand: WorkerHand) -> float:
    """Seconds until the lease expires."""
    return (expiry(api, hand) - db_time(api)).total_seconds()


def run_out(api: Api, hand: WorkerHand, ago: float = 1.0) -> None:
    """Set the worker's last heartbeat to a lease and `ago` seconds ago."""
    now = db_time(api)
    beat = now - timedelta(seconds=LEASE + ago)
    api.set_attempt(hand.attempt_id, lease_expires_at=now - timedelta(seconds=ago), beat_at=beat, claimed_at=beat)


def spans(api: Api, *pairs: tuple[float, float]) -> None:
    """Record that the service ran in these periods, given in seconds before now."""
    now = db_time(api)
    with api.services.database.write() as session:
        session.execute(delete(Replica))
        for n, (begun, ended) in enumerate(pairs):
            begin, end = now - timedelta(seconds=begun), now - timedelta(seconds=ended)
            session.add(Replica(name=f"r{n}", started_at=begin, last_write_at=end))


# -- computing the served time -------------------------------------------------------------------------------------


def test_a_gap_that_leaves_no_time_for_a_heartbeat_counts() -> None:
    assert longest_gap(30, 10) == 10
    assert longest_gap(6, 2) == 2
    assert longest_gap(30, 25) == 2.5
    assert longest_gap(1, 0.9) == 0.5


def test_replicas_serve_together() -> None:
    one = [span(0, 50), span(45, 100), span(20, 60), span(104, 120)]
    assert served(one, at(120), 5) == [span(0, 120)]
    assert served(one, at(120), 3) == [span(104, 120), span(0, 100)]
    assert served([], at(0), 3) == []


def test_a_time_ahead_was_written_before_the_clock_was_set_back() -> None:
    assert served([span(0, 500), span(90, 100)], at(100), 5) == [span(90, 100)]


def test_since_when_so_much_was_served() -> None:
    joined = served([span(0, 50), span(100, 110), span(200, 210)], at(210), 5)
    assert since(joined, 10) == at(200)
    assert since(joined, 15) == at(105)
    assert since(joined, 40) == at(30)
    assert since(joined, 71) is None


def test_a_lease_is_over_when_the_time_that_counts_is() -> None:
    long, short = Served(at(100), at(0)), Served(at(100), at(80), long_before=at(50))
    assert long.over(at(100), at(70), 30)
    assert not long.over(at(101), at(71), 30)
    assert not short.over(at(90), at(60), 30)
    assert short.over(at(90), at(49), 30)
    assert not Served(at(100), at(80)).over(at(90), at(0), 30)
    assert long.passed(at(70), 30)
    assert not short.passed(at(70), 30)
    assert short.passed(at(49), 30)
    assert not long.passed(at(71), 30)


# -- a service that starts ----------------------------------------------------------------------------------------


def test_a_service_that_begins_after_an_outage_gives_every_worker_a_whole_lease(start: Callable[..., Api]) -> None:
    api = start(after_outage=True)
    hands = [api.running(f"w{n}") for n in range(3)]
    for hand in hands:
        run_out(api, hand, ago=100)
    api.conduct()
    assert [api.job(hand.job_id)["status"] for hand in hands] == ["running"] * 3
    assert all(0 < expires_in(api, hand) <= LEASE for hand in hands)  # the expiry that users see is the renewed one
    assert all(hand.beat().status_code == 200 for hand in hands)


def test_a_service_that_takes_the_place_of_another_gives_nobody_more_time(start: Callable[..., Api]) -> None:
    api = start()
    hand = api.running()
    run_out(api, hand)
    api.conduct()
    assert api.job(hand.job_id)["status"] == "recovering"


def test_a_crash_loop_does_not_keep_a_dead_worker(start: Callable[..., Api]) -> None:
    """Each run is shorter than a lease. Together the runs are longer than three leases."""
    api = start(after_outage=True)
    dead, slow, guard = api.running("dead"), api.running("slow"), api.services.reconciler.guard
    guard.stop()
    spans(api, *[(10 + 40.0 * n, 40.0 * n) for n in range(1, 11)])  # runs of 10 s, 30 s apart
    run_out(api, dead, ago=400)
    run_out(api, slow, ago=300)  # the service ran for 80 of these seconds
    guard._last = None  # the next run begins
    api.conduct()
    assert api.job(dead.job_id)["status"] == "recovering"
    assert api.job(slow.job_id)["status"] == "running"


def test_a_renewed_lease_is_counted_from_the_end_of_the_outage(api: Api) -> None:
    dead, ahead, now = api.running("dead"), api.running("ahead"), db_time(api)
    run_out(api, dead, ago=100)
    hour = timedelta(hours=1)
    api.set_attempt(ahead.attempt_id, lease_expires_at=now + hour)  # written before the clock was set back
    with api.services.database.write() as session:
        assert renew_after_outage(session, Served(now, now - timedelta(seconds=20)), LEASE) == 2
    assert expiry(api, dead) == now + timedelta(seconds=LEASE - 20)
    assert now + timedelta(seconds=LEASE) <= expiry(api, ahead) < now + hour


# -- a service that keeps running -----------------------------------------------------------------------------------


def test_a_process_that_stood_still_gives_a_whole_lease(api: Api) -> None:
    guard = api.services.reconciler.guard
    guard.stop()  # from here on only the pass calls `look`
    hand = api.running()
    assert guard.look().has_served(LEASE)  # the service follows another one that served until now
    run_out(api, hand)
    with api.services.database.write() as session:
        # Five minutes ago, so that the rows of this guard are not joined with this one: only short gaps are joined.
        session.execute(update(Replica).values(last_write_at=db_time(api) - timedelta(minutes=5)))
    guard._clock = lambda: boot_clock() + 11
    api.conduct()
    assert api.job(hand.job_id)["status"] == "running"
    assert LEASE / 2 < expires_in(api, hand) <= LEASE


def test_another_replica_that_wrote_meanwhile_took_the_heartbeats(api: Api) -> None:
    local = Local()
    guard = LeaseGuard(api.services.reconciler._database, LEASE, HEARTBEAT, local)
    other = LeaseGuard(api.services.reconciler._database, LEASE, HEARTBEAT, local)
    hand = api.running()
    guard.look()
    other.look()
    for _ in range(4):
        local.now += 5
        other.look()
    assert guard.look().has_served(LEASE)
    assert hand.beat().status_code == 200


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_a_clock_that_was_set_costs_nobody_a_lease_and_hides_no_death(
    api: Api, moved: MovedClock, seconds: float
) -> None:
    alive, dead = api.running("alive"), api.running("dead")
    api.conduct()
    moved.move(seconds)
    api.conduct()
    for hand in (alive, dead):
        assert api.job(hand.job_id)["status"] == "running"
        assert LEASE / 2 < expires_in(api, hand) <= LEASE + 1
    assert alive.beat().status_code == 200
    served_long(api)
    run_out(api, dead)
    assert alive.beat().status_code == 200
    api.conduct()
    assert (api.job(alive.job_id)["status"], api.job(dead.job_id)["status"]) == ("running", "recovering")


@pytest.mark.parametrize(
    ("every", "seconds"),
    [(0.0, 3600.0), (5.0, 3600.0), (0.0, HEARTBEAT / 2)],
    ids=["by-its-write", "by-its-question", "by-less-than-a-gap"],
)
def test_a_clock_that_was_set_is_told_from_a_process_that_stood_still(
    api: Api, moved: MovedClock, every: float, seconds: float
) -> None:
    local = Local()
    guard = LeaseGuard(api.services.reconciler._database, LEASE, HEARTBEAT, local)
    guard._every = every
    api.running()
    guard.look()
    moved.move(seconds)
    local.now += 1
    look = guard.look()
    assert (guard.clock_sets, look.has_served(1.0)) == (1, False)
    local.now += 3600
    moved.move(3600)
    guard.look()
    assert guard.clock_sets == 1


def served_long(api: Api) -> None:
    """Pretend that the service has taken heartbeats for longer than a lease."""
    guard = api.services.reconciler.guard
    assert guard._since is not None
    guard._since -= timedelta(seconds=LEASE + 1)


def test_a_file_is_not_written_while_nobody_holds_an_attempt(api: Api) -> None:
    guard = LeaseGuard(api.services.reconciler._database, LEASE, HEARTBEAT)
    guard._every = 0.0

    def written() -> datetime:
        with api.services.database.read() as session:
            query = select(Replica.last_write_at).where(Replica.name == guard._name)
            return session.execute(query).scalar_one()

    first = guard.look().now
    eventually(lambda: guard.look().now > first)
    assert (written() > first) is api.services.database.shared
    api.running()
    eventually(lambda: guard.look() and written() > first)


def test_old_rows_are_dropped(api: Api) -> None:
    spans(api, (3 * 86_400, 2 * 86_400), (50, -86_400))
    LeaseGuard(api.services.reconciler._database, LEASE, HEARTBEAT).look()
    with api.services.database.read() as session:
        assert not set(session.scalars(select(Replica.name))) & {"r0", "r1"}


@ON_POSTGRESQL
def test_a_database_that_was_away_for_two_leases_costs_nobody_a_lease(
    start: Callable[..., Api], postgres_server: PostgresServer
) -> None:
    api = start(conductor_seconds=0.05, leader_seconds=1, lease_seconds=5, heartbeat_seconds=1)
    alive, dead = api.running("alive"), api.running("dead")
    postgres_server.stop()
    try:
        silent_for(api, 10.0)
        assert alive.beat().status_code == 503
    finally:
        postgres_server.start()

    def found() -> bool:
        assert alive.beat().status_code in (200, 503)
        return api.http.get("/readyz").status_code == 200 and api.job(dead.job_id)["status"] == "recovering"

    eventually(found)
    assert api.job(alive.job_id)["status"] == "running"


def silent_for(api: Api, seconds: float) -> None:
    """Wait until the service's guard has written nothing for this time."""
    guard = api.services.reconciler.guard
    assert guard._last is not None
    eventually(lambda: guard._last is not None and guard._clock() - guard._last.ended > seconds)
