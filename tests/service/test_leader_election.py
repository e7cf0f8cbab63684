"""Leader election: one replica leads at a time, for as long as its lease lasts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from service.db.engine import Database, open_engine
from service.db.leader_table import Leader
from service.db.sqlite_lock import DatabaseTaken, exclusive_use
from service.db.types import db_now
from service.reconciler.leader_election import Alone, Elected, leadership
from tests.service.helpers import ON_BOTH, ON_POSTGRESQL, ON_SQLITE, Api, eventually

pytestmark = ON_BOTH


class Clock:
    """The clock of a replica."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    made = Database(open_engine(postgres_url))
    yield made
    made.close()


def row(database: Database) -> Leader:
    with database.read() as session:
        return session.execute(select(Leader)).scalar_one()


def let_it_run_out(database: Database) -> None:
    with database.write() as session:
        session.execute(update(Leader).values(expires_at=db_now()))


def test_the_first_who_asks_leads_and_the_other_waits(database: Database) -> None:
    one, two = Elected(database, 60), Elected(database, 60)
    assert one.describe() == "not known now"
    for _ in range(3):
        one.ask()
        two.ask()
        assert (one.leads(), two.leads()) == (True, False)
    assert row(database).term == 1
    assert one.describe() == f"this replica, {row(database).holder} (term 1)"
    assert two.describe() == f"{row(database).holder} (term 1)"


def test_a_lease_that_ran_out_goes_to_whoever_asks_first(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    one, two = Elected(database, 60), Elected(database, 60)
    one.ask()
    two.ask()
    let_it_run_out(database)
    two.ask()
    one.ask()
    assert (one.leads(), two.leads()) == (False, True)
    assert row(database).term == 2
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert ["this replica leads now, term 2" in told[0], "leadership was lost" in told[1]] == [True, True]


def test_a_lease_from_before_the_clock_was_set_back_keeps_nobody_from_leading(database: Database) -> None:
    one, two = Elected(database, 60), Elected(database, 60)
    one.ask()
    with database.write() as session:
        session.execute(update(Leader).values(expires_at=row(database).expires_at + timedelta(hours=1)))
    two.ask()
    assert two.leads()
    assert row(database).term == 2


def test_one_own_lease_that_ran_out_starts_another_term(database: Database) -> None:
    one = Elected(database, 60)
    one.ask()
    let_it_run_out(database)
    one.ask()
    assert (one.leads(), row(database).term) == (True, 2)


def test_a_replica_that_stood_still_knows_that_it_may_have_been_replaced(database: Database) -> None:
    clock = Clock()
    one = Elected(database, 5, clock)
    one.ask()
    clock.now += 4.9
    assert one.leads()
    clock.now += 0.1
    assert not one.leads()
    one.ask()
    assert one.leads()


def test_a_database_that_is_away_costs_leadership_only_when_the_lease_is_over(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    one = Elected(database, 5, clock)
    one.ask()
    with database.write() as session:
        session.execute(text("ALTER TABLE leaders RENAME TO gone"))
    clock.now += 3
    one.ask()
    one.ask()
    assert one.leads()
    clock.now += 3
    one.ask()
    assert not one.leads()
    assert len([record for record in caplog.records if "cannot be reached" in record.getMessage()]) == 1
    with database.write() as session:
        session.execute(text("ALTER TABLE gone RENAME TO leaders"))
    one.ask()
    assert one.leads()


def test_a_released_lease_can_be_acquired_immediately(database: Database) -> None:
    one, two = Elected(database, 300), Elected(database, 300)
    one.ask()
    two.ask()
    one.stop()
    two.ask()
    assert (one.leads(), two.leads(), row(database).term) == (False, True, 2)
    one.stop()  # the lease is not its own, so nothing is released
    two.ask()
    assert row(database).term == 2


def test_of_many_who_ask_at_once_one_leads(database: Database) -> None:
    many = [Elected(database, 60) for _ in range(12)]
    for term in (1, 2):
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(Elected.ask, many))
        assert [one.leads() for one in many].count(True) >= 1
        assert (row(database).term, len({one.describe().removeprefix("this replica, ") for one in many})) == (term, 1)
        leaders = [one for one in many if one.leads()]
        assert len(leaders) == 1
        leaders[0].stop()


def test_nobody_waits_for_a_replica_that_stands_still_while_it_asks(database: Database) -> None:
    """One statement outside of a transaction changes the row, so a replica that stalls in this moment holds no lock."""
    one = Elected(database, 60)
    one.ask()
    with one._row._engine.connect() as connection:
        connection.execute(text("UPDATE leaders SET expires_at = clock_timestamp()"))
        two = Elected(database, 60)
        thread = threading.Thread(target=two.ask)
        thread.start()
        thread.join(60)
        assert two.leads()


@ON_POSTGRESQL
def test_a_replica_that_does_not_lead_does_nothing(start: Callable[..., Api]) -> None:
    one = start(conductor_seconds=0.05, leader_seconds=300)
    eventually(lambda: "this replica" in one.http.get("/readyz").json()["conductor"])
    two = start(conductor_seconds=0.05, leader_seconds=300)
    eventually(lambda: "(term 1)" in two.http.get("/readyz").json()["conductor"])
    assert "this replica" not in two.http.get("/readyz").json()["conductor"]
    eventually(
        lambda: all(step.next_at > 0 for step in [*one.services.reconciler.quick, *one.services.reconciler.deleting])
    )
    assert not any(step.next_at > 0 for step in [*two.services.reconciler.quick, *two.services.reconciler.deleting])
    one.services.reconciler.stop()
    job = two.submit()
    eventually(lambda: "dispatched" in two.kinds(job["id"]))
    assert "this replica" in two.http.get("/readyz").json()["conductor"]


@ON_SQLITE
def test_a_file_has_one_replica_which_leads(api: Api, start: Callable[..., Api]) -> None:
    assert isinstance(leadership(api.services.database, 5), Alone)
    assert api.http.get("/readyz").json()["conductor"] == "not this replica: BATON_CONDUCTOR_SECONDS is 0"
    assert start(conductor_seconds=0.5).http.get("/readyz").json()["conductor"] == "this replica, the only one"


def test_a_file_is_for_one_service(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/x.db"
    with exclusive_use(url):
        told = r"another service \(process \d+\) uses .*x\.db.*postgresql\+psycopg"
        with pytest.raises(DatabaseTaken, match=told), exclusive_use(url):
            pass
        with exclusive_use(f"sqlite:///{tmp_path}/other.db"), exclusive_use("postgresql+psycopg://x@y/z"):
            pass
    with exclusive_use(url):
        pass
