"""Owners, workers, workers without a lease and the reconciler call in any order, and the invariants hold.

A hypothesis state machine calls the real use cases on a real database. It keeps a small model of each job, from which
it knows the right result of each call and what must not change.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from baton.domain.errors import LeaseLost, TransitionError
from baton.domain.manifest import checkpoint_prefix
from baton.domain.spec import parse_spec
from baton.domain.states import HELD_ATTEMPTS, LIVE_ATTEMPTS, TERMINAL_JOBS
from baton.domain.uptime import Served
from baton.domain.wire import (
    CheckpointCommit,
    CheckpointRole,
    Claim,
    Finish,
    Heartbeat,
    Outcome,
    Phase,
    Position,
    WorkerInfo,
)
from service.db.engine import Database, open_engine
from service.db.tables import Attempt, Checkpoint, Event
from service.db.unit_of_work import Unit
from service.errors import Conflict
from service.principal import BOOTSTRAP
from service.reconciler import enforcement
from service.usecases import attempt_outcomes, checkpoints, job_control, leases
from service.usecases.leases import Terms
from service.usecases.retry import retry
from service.usecases.submit import submit
from tests.service.helpers import spec

pytestmark = pytest.mark.slow

# The number of examples in CI. Set BATON_RULE_RUNS=5000 for a longer run.
RUNS = int(os.environ.get("BATON_RULE_RUNS", "60"))
STEPS, JOBS = 40, 2
LEASE = 30.0
TERMS = Terms(lease=LEASE, heartbeat=10.0)
WHICH = st.sampled_from([0, 0, 0, 1, 2, 3])
OUTCOMES = (Outcome.PREEMPTED, Outcome.FAILED, Outcome.SUCCEEDED, Outcome.PAUSED, Outcome.CANCELLED)


@dataclass
class Hold:
    """A claim that was granted. Its worker may keep calling, with or without a valid lease."""

    attempt_id: str
    claim_id: str
    fence: int
    live: bool = True


@dataclass
class Book:
    """The expected state of one job."""

    job_id: str
    max_failures: int
    patience: int
    desired: str = "run"
    ended: str | None = None
    queued: bool = True
    holds: list[Hold] = field(default_factory=list)
    furthest: int = -1
    saves: int = 0
    failures: int = 0
    forgiven: int = 0
    retries: int = 0
    preemptions: int = 0
    fruitless: int = 0
    progressed: bool = False
    final: dict[str, Any] | None = None

    @property
    def held(self) -> Hold | None:
        """The claim that is valid now."""
        return next((hold for hold in self.holds if hold.live), None)


class Rules(RuleBasedStateMachine):
    """The state machine. The test sets `database` and the clock."""

    database: ClassVar[Database]
    clock: ClassVar[Clock]
    books = Bundle("books")

    def _write(self, call: Callable[[Unit], Any]) -> Any:
        with self.database.write() as session:
            return call(Unit(session))

    def _read(self, call: Callable[[Unit], Any]) -> Any:
        with self.database.read() as session:
            return call(Unit(session))

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Book] = []
        self.versions: dict[str, int] = {}

    @initialize(target=books, failures=st.integers(0, 2), patience=st.integers(1, 3))
    def begin(self, failures: int, patience: int) -> Book:
        return self._submit(failures, patience)

    @precondition(lambda self: len(self.all) < JOBS)
    @rule(target=books, failures=st.integers(0, 2), patience=st.integers(1, 3))
    def submit(self, failures: int, patience: int) -> Book:
        return self._submit(failures, patience)

    def _submit(self, failures: int, patience: int) -> Book:
        retry = {"max_failures": failures, "max_attempts_without_progress": patience, "backoff": 60.0}
        job_id = self._write(lambda unit: submit(unit, parse_spec(spec(retry=retry)), BOOTSTRAP).id)
        book = Book(job_id, failures, patience)
        self.all.append(book)
        return book

    @rule(seconds=st.sampled_from([1.0, LEASE + 1, 7200.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += timedelta(seconds=seconds)

    # -- workers ------------------------------------------------------------------------------------------------------

    @rule(book=books, claim_id=st.sampled_from(["claim-aaaa", "claim-bbbb"]))
    def claim(self, book: Book, claim_id: str) -> None:
        self._claim(book, claim_id)

    def _claim(self, book: Book, claim_id: str) -> None:
        attempt = self._newest(book)
        message = Claim(claim_id=claim_id, worker=WorkerInfo(name=claim_id, host="box", pid=1, version="0"))
        free = attempt["state"] == "queued" and attempt["not_before"] <= self.clock.now
        again = book.held is not None and (book.held.attempt_id, book.held.claim_id) == (attempt["id"], claim_id)
        try:
            grant = self._write(lambda unit: leases.claim(unit, attempt["id"], message, TERMS))
        except Conflict:
            assert not free
            assert not again
            return
        if again:
            assert book.held is not None
            assert grant.fence == book.held.fence
            return
        assert free
        assert all(grant.fence > hold.fence for hold in book.holds)
        book.holds.append(Hold(attempt["id"], claim_id, grant.fence))
        book.queued, book.progressed = False, False

    @rule(book=books, which=WHICH, fence=st.integers(0, 4))
    def forge(self, book: Book, which: int, fence: int) -> None:
        """Send a heartbeat with a fencing token that is not the attempt's."""
        hold = self._hold(book, which)
        if hold is None or fence == hold.fence:
            return
        before, forged = self._state(book), Heartbeat(fence=fence, phase=Phase.TRAINING)
        with pytest.raises(LeaseLost):
            self._write(lambda unit: leases.heartbeat(unit, hold.attempt_id, forged, LEASE))
        assert self._state(book) == before

    @rule(book=books, which=WHICH, phase=st.sampled_from([Phase.LOADING, Phase.TRAINING, Phase.STOPPING]))
    def heartbeat(self, book: Book, which: int, phase: Phase) -> None:
        hold = self._hold(book, which)
        if hold is None:
            return
        message = Heartbeat(fence=hold.fence, phase=phase)
        beat = self._fenced(book, hold, lambda unit: leases.heartbeat(unit, hold.attempt_id, message, LEASE))
        if beat is not None:
            assert beat.directive == {"run": "continue"}.get(book.desired, book.desired)

    @rule(book=books, which=WHICH, step=st.integers(0, 8))
    def commit(self, book: Book, which: int, step: int) -> None:
        hold = self._hold(book, which)
        if hold is None:
            return
        book.saves += 1
        message = CheckpointCommit(
            fence=hold.fence,
            prefix=checkpoint_prefix(book.job_id, step, hold.fence, book.saves),
            manifest_crc32c="00000000",
            position=Position(stage=0, epoch=0, step=step, global_step=step),
            bytes=1,
            seconds=0.1,
            roles=(CheckpointRole.LATEST,),
        )
        done = self._fenced(book, hold, lambda unit: checkpoints.commit(unit, hold.attempt_id, message)[1])
        if done and step > book.furthest:
            book.furthest, book.fruitless, book.progressed = step, 0, True

    @rule(book=books, which=WHICH, outcome=st.sampled_from(OUTCOMES))
    def finish(self, book: Book, which: int, outcome: Outcome) -> None:
        hold = self._hold(book, which)
        if hold is None:
            return
        # Each message has another text: the same message again would be a repeated call, which gets the first response.
        message = Finish(fence=hold.fence, outcome=outcome, message=f"at {self.clock.now}, number {book.saves}")
        book.saves += 1
        try:
            done = self._fenced(book, hold, lambda unit: attempt_outcomes.finish(unit, hold.attempt_id, message).state)
        except Conflict:
            assert outcome is Outcome.CANCELLED
            assert book.desired != "cancel"
            return
        if done is not None:
            self._ended(book, outcome)
            self._write(
                lambda unit: attempt_outcomes.finish(unit, hold.attempt_id, message)
            )  # repeat the call, as after a lost response

    # -- the reconciler ------------------------------------------------------------------------------------------------

    @rule(book=books)
    def expire(self, book: Book) -> None:
        hold = book.held
        if hold is None:
            return
        seen = self._attempt(hold.attempt_id)["lease_expires_at"]
        over = seen <= self.clock.now
        lease = attempt_outcomes.Lease(Served(self.clock.now, self.clock.now - timedelta(hours=1)), LEASE)
        done = self._write(lambda unit: attempt_outcomes.expire(unit, hold.attempt_id, "conductor", lease, seen))
        assert done is over
        if done:
            self._ended(book, None)

    @rule(book=books)
    def overrule(self, book: Book) -> None:
        hold = book.held
        if hold is None:
            return
        before = self._job(book)
        served = Served(self.clock.now, self.clock.now - timedelta(hours=1))
        patience, seen = attempt_outcomes.OrderTimeouts(cancel=20.0, pause=25.0), before["desired_at"]
        done = self._write(
            lambda unit: attempt_outcomes.overrule(unit, hold.attempt_id, "conductor", served, patience, seen)
        )
        if not done:
            assert self._job(book) == before
            return
        assert book.desired != "run"
        self._ended(book, Outcome.CANCELLED if book.desired == "cancel" else Outcome.PAUSED)

    @rule(book=books)
    def settle(self, book: Book) -> None:
        before = self._state(book)
        self._write(lambda unit: enforcement._repair(unit, book.job_id))
        assert self._state(book) == before, "the repair changed a state that needed no repair"

    # -- the owner ----------------------------------------------------------------------------------------------------

    @rule(book=books, wish=st.sampled_from(["pause", "resume", "cancel"]))
    def ask(self, book: Book, wish: str) -> None:
        before = self._job(book)
        call = {"pause": job_control.pause, "resume": job_control.resume, "cancel": job_control.cancel}[wish]
        try:
            self._write(lambda unit: call(unit, book.job_id, "user"))
        except (Conflict, TransitionError):
            assert self._job(book) == before
            assert book.ended or wish != "cancel"
            return
        assert book.ended is None
        book.desired = {"resume": "run"}.get(wish, wish)
        if book.held is None:
            book.queued = wish == "resume"
            book.ended = "cancelled" if wish == "cancel" else None

    @rule(book=books)
    def ask_for_a_retry(self, book: Book) -> None:
        before = self._state(book)
        try:
            self._write(lambda unit: retry(unit, book.job_id, "user"))
        except Conflict:
            assert self._state(book) == before
            assert book.ended in (None, "succeeded")
            return
        assert book.ended in ("failed", "cancelled")
        book.desired, book.ended, book.final, book.queued = "run", None, None, True
        book.forgiven, book.fruitless, book.retries = book.failures, 0, book.retries + 1

    # -- invariants ---------------------------------------------------------------------------------------------------

    @invariant()
    def every_job_is_as_the_book_says(self) -> None:
        for book in self.all:
            self._check(book)

    def _check(self, book: Book) -> None:
        job, attempts = self._job(book), self._attempts(book)
        live = [row for row in attempts if row["state"] in LIVE_ATTEMPTS]
        assert len(live) <= 1
        held = [row for row in live if row["state"] in HELD_ATTEMPTS]
        assert [row["id"] for row in held] == ([book.held.attempt_id] if book.held else [])
        assert bool(live and not held) is (book.queued and not book.ended)
        fences = [row["fence"] for row in attempts if row["fence"] is not None]
        assert fences == sorted(set(fences)) == [hold.fence for hold in book.holds]
        assert job["fence"] == (fences[-1] if fences else 0)
        assert (job["failures"], job["preemptions"]) == (book.failures, book.preemptions)
        assert (job["without_progress"], job["retries"]) == (book.fruitless, book.retries)
        assert (job["state"] in TERMINAL_JOBS) is (book.ended is not None)
        if book.ended:
            assert job["state"] == book.ended
            assert not live
            book.final = book.final or job
            assert job == book.final, "a job that had ended changed without a retry"
        assert job["version"] >= self.versions.get(book.job_id, 0)
        self.versions[book.job_id] = job["version"]

    def teardown(self) -> None:
        for book in self.all:
            query = select(Event.sequence).where(Event.job_id == book.job_id).order_by(Event.sequence)
            numbers = self._read(lambda unit, query=query: list(unit.session.scalars(query)))
            assert numbers == list(range(1, len(numbers) + 1)), "the sequence numbers have a gap"
            fences = select(Checkpoint.fence).where(Checkpoint.job_id == book.job_id)
            assert set(self._read(lambda unit, query=fences: set(unit.session.scalars(query)))) <= {
                h.fence for h in book.holds
            }

    # -- helpers ------------------------------------------------------------------------------------------------------

    def _hold(self, book: Book, which: int) -> Hold | None:
        """One of all claims that were ever granted, newest first. A queued attempt is claimed before the newest is
        returned.

        This lets every example make progress, because hypothesis disables rules at random, including the claim.
        """
        if which == 0 and book.held is None and book.queued and not book.ended:
            self.clock.now += timedelta(hours=1)
            self._claim(book, "claim-cccc")
        return book.holds[::-1][which % len(book.holds)] if book.holds else None

    def _fenced(self, book: Book, hold: Hold, call: Callable[[Unit], Any]) -> Any:
        """The result of a worker's call, or None if it was refused.

        It must be refused if the claim is not valid any more.
        """
        before = self._state(book)
        try:
            found = self._write(call)
        except LeaseLost:
            assert not hold.live
            assert self._state(book) == before, "a worker without a lease changed something"
            return None
        assert hold.live
        return found

    def _ended(self, book: Book, outcome: Outcome | None) -> None:
        """Record the end of the held attempt in the model. `outcome` None: the lease expired."""
        assert book.held is not None
        book.held.live = False
        book.failures += outcome is Outcome.FAILED
        book.preemptions += outcome in (None, Outcome.PREEMPTED)
        book.fruitless += outcome in (None, Outcome.PREEMPTED, Outcome.FAILED) and not book.progressed
        book.ended, book.queued = self._follow(book, outcome)
        if outcome is Outcome.SUCCEEDED:
            book.fruitless = 0

    def _follow(self, book: Book, outcome: Outcome | None) -> tuple[str | None, bool]:
        """The final state of the job, if it ends, and whether another attempt is queued."""
        if outcome is Outcome.SUCCEEDED:
            return "succeeded", False
        if book.desired == "cancel":
            return "cancelled", False
        if outcome is Outcome.PAUSED:
            return None, book.desired == "run"
        spent = outcome is Outcome.FAILED and book.failures - book.forgiven > book.max_failures
        if spent or book.fruitless >= book.patience:
            return "failed", False
        return None, book.desired == "run"

    def _job(self, book: Book) -> dict[str, Any]:
        return dict(self._read(lambda unit: _columns(unit.find_job(book.job_id))))

    def _attempts(self, book: Book) -> list[dict[str, Any]]:
        query = select(Attempt).where(Attempt.job_id == book.job_id).order_by(Attempt.number)
        return list(self._read(lambda unit: [_columns(row) for row in unit.session.scalars(query)]))

    def _newest(self, book: Book) -> dict[str, Any]:
        return self._attempts(book)[-1]

    def _attempt(self, attempt_id: str) -> dict[str, Any]:
        return dict(self._read(lambda unit: _columns(unit.session.get_one(Attempt, attempt_id))))

    def _state(self, book: Book) -> tuple[Any, ...]:
        return self._job(book), self._attempts(book)


def _columns(row: Any) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


class Clock:
    """The service's clock. It is ahead of the database's clock, which these rules do not use."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    found = Database(open_engine(database_url))
    yield found
    found.close()


def test_whatever_is_asked_in_whatever_order(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    Rules.database, Rules.clock = database, Clock()
    monkeypatch.setattr(Unit, "now", lambda _unit: Rules.clock.now)
    sizes = settings(
        max_examples=RUNS,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(Rules, settings=sizes)
