"""Time in which the service could take no heartbeat costs no lease; a worker that died is found nevertheless."""

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
from tests.service.helpers import ON_POSTGRESQL, Api, WorkerHand, eventually
from tests.support.moved_clock import MovedClock
from tests.support.postgres import PostgresServer

LEASE, HEARTBEAT = 30.0, 10.0
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def span(begun: float, ended: float) -> Span:
    return Span(at(begun), at(ended))


class Local:
    """A replica's own clock, which is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def db_time(api: Api) -> datetime:
    with api.services.database.read() as session:
        return Unit(session).now()


def expires_in(api: Api, hand: WorkerHand) -> float:
    """Seconds until the lease ends."""
    with api.services.database.read() as session:
        unit = Unit(session)
        query = select(Attempt.lease_expires_at).where(Attempt.id == hand.attempt_id)
        return float((session.execute(query).scalar_one() - unit.now()).total_seconds())


def run_out(api: Api, hand: WorkerHand, ago: float = 1.0) -> None:
    """The worker was heard of last a lease and `ago` seconds ago."""
    now = db_time(api)
    beat = now - timedelta(seconds=LEASE + ago)
    api.set_attempt(hand.attempt_id, lease_expires_at=now - timedelta(seconds=ago), beat_at=beat, claimed_at=beat)


def spans(api: Api, *pairs: tuple[float, float]) -> None:
    """The service served in these times, in seconds before now."""
    now = db_time(api)
    with api.services.database.write() as session:
        session.execute(delete(Replica))
        for n, (begun, ended) in enumerate(pairs):
            begin, end = now - timedelta(seconds=begun), now - timedelta(seconds=ended)
            session.add(Replica(name=f"r{n}", started_at=begin, last_write_at=end))


# -- the arithmetic ---------------------------------------------------------------------------------------------------


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


# -- a service that begins --------------------------------------------------------------------------------------------


def test_a_service_that_begins_after_an_outage_gives_every_worker_a_whole_lease(start: Callable[..., Api]) -> None:
    api = start(after_outage=True)
    hands = [api.running(f"w{n}") for n in range(3)]
    for hand in hands:
        run_out(api, hand, ago=100)
    api.conduct()
    assert [api.job(hand.job_id)["status"] for hand in hands] == ["running"] * 3
    assert all(0 < expires_in(api, hand) <= LEASE for hand in hands)  # the truth, for people too
    assert all(hand.beat().status_code == 200 for hand in hands)


def test_a_service_that_takes_the_place_of_another_gives_nobody_more_time(start: Callable[..., Api]) -> None:
    api = start()
    hand = api.running()
    run_out(api, hand)
    api.conduct()
    assert api.job(hand.job_id)["status"] == "recovering"


def test_a_crash_loop_does_not_keep_a_dead_worker(start: Callable[..., Api]) -> None:
    """Each life is shorter than a lease; together they are more than three."""
    api = start(after_outage=True)
    dead, slow, guard = api.running("dead"), api.running("slow"), api.services.reconciler.guard
    guard.stop()
    spans(api, *[(10 + 40.0 * n, 40.0 * n) for n in range(1, 11)])  # lives of 10 s, 30 s apart
    run_out(api, dead, ago=400)
    run_out(api, slow, ago=300)  # 80 s of those were served
    guard._last = None  # the next life begins
    api.conduct()
    assert api.job(dead.job_id)["status"] == "recovering"
    assert api.job(slow.job_id)["status"] == "running"


# -- a service that goes on -------------------------------------------------------------------------------------------


def test_a_process_that_stood_still_gives_a_whole_lease(api: Api) -> None:
    guard = api.services.reconciler.guard
    guard.stop()  # only the pass looks from here on
    hand = api.running()
    assert guard.look().has_served(LEASE)  # it took the place of another one
    run_out(api, hand)
    with api.services.database.write() as session:
        # Long ago: what the guard wrote since its start joins what lies less than a gap before that.
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


@pytest.mark.parametrize("every", [0.0, 5.0], ids=["by-its-write", "by-its-question"])
def test_a_clock_that_was_set_is_told_from_a_process_that_stood_still(
    api: Api, moved: MovedClock, every: float
) -> None:
    local = Local()
    guard = LeaseGuard(api.services.reconciler._database, LEASE, HEARTBEAT, local)
    guard._every = every
    api.running()
    guard.look()
    moved.move(3600)
    local.now += 1
    look = guard.look()
    assert (guard.clock_sets, look.has_served(1.0)) == (1, False)
    local.now += 3600
    moved.move(3600)
    guard.look()
    assert guard.clock_sets == 1


def served_long(api: Api) -> None:
    """As if a lease had passed in which heartbeats were taken."""
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
    """Until the guard of the service has written nothing for so long."""
    guard = api.services.reconciler.guard
    assert guard._last is not None
    eventually(lambda: guard._last is not None and guard._clock() - guard._last.ended > seconds)
