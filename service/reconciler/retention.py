"""Applies the settings BATON_RETENTION_*: a pass over each kind, in batches and small transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import select

from baton.domain.manifest import job_prefix, log_prefix
from baton.domain.retention import PruneKind, PruneView
from baton.storage import BlobStore
from service.db.engine import Database
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit
from service.reconciler.isolation import CONDUCTOR, Isolation, Item, ready
from service.reconciler.orphaned_objects import delete_all
from service.reconciler.store_pass import Pass
from service.reconciler.store_pool import StorePool, Tick
from service.usecases import deletion, retention
from service.usecases.retention import Place, Retention, Rule

BATCH, ROUNDS, ROUNDS_NOW = 100, 1_000, 10
"""`ROUNDS_NOW`: batches of each kind that a request deletes. The reconciler deletes the rest."""

CLEANERS = StorePool(4)


def _step(kind: PruneKind) -> str:
    """The name of the step in `pass_failures`."""
    return f"prune_{kind}"


class RetentionPass:
    """Deletes what is older than its retention. `doubt`: why the store may be the wrong one. Then logs are kept."""

    def __init__(
        self,
        rules: Retention,
        database: Database,
        store: BlobStore,
        isolation: Isolation,
        doubt: Callable[[], str | None],
    ) -> None:
        self.rules = rules
        self._database, self._store, self._isolation, self._doubt = database, store, isolation, doubt
        self._turn = threading.Lock()

    def run(self, kind: PruneKind, rounds: int = ROUNDS) -> None:
        """Delete at most `rounds` batches of a kind. Only one thread does so at a time."""
        with self._turn:
            if kind in self.rules.by_age:
                self._rows(kind, rounds)
            for status, seconds in self.rules.by_status.get(kind, {}).items():
                rule = Rule(kind, status, seconds)
                match kind:
                    case PruneKind.JOBS:
                        self._whole_jobs(rule, rounds)
                    case PruneKind.LOGS:
                        self._logs(rule)
                    case _:
                        self._parts(rule, rounds)

    def wake_forgotten(self) -> None:
        """See `service.usecases.deletion.wake_forgotten`."""
        with self._database.write() as session:
            deletion.wake_forgotten(Unit(session))

    def preview(self) -> PruneView:
        """What is older than its retention now."""
        with self._database.read() as session:
            return PruneView(dry_run=True, items=retention.preview(Unit(session), self.rules))

    def prune(self) -> PruneView:
        """Delete now, at most ROUNDS_NOW batches of each kind. The answer lists what was there and what is left.

        Raises StoreUnavailable, after the kinds that need no store.
        """
        before = self.preview()
        for kind in self.rules.kinds():
            self.run(kind, ROUNDS_NOW)
        left = {one.kind: one.number for one in self.preview().items}
        items = [one.model_copy(update={"left": left.get(one.kind, 0)}) for one in before.items]
        return PruneView(dry_run=False, items=items)

    def _rows(self, kind: PruneKind, rounds: int) -> None:
        for _ in range(rounds):
            with self._database.write_politely() as session:
                if not retention.prune_rows(Unit(session), kind, self.rules.by_age[kind], CONDUCTOR):
                    return

    def _pages(self, rule: Rule, rounds: int) -> Iterator[list[Item]]:
        """The jobs that are due, batch by batch in the order of their ends."""
        place: Place | None = None
        for _ in range(rounds):
            with self._database.read() as session:
                found = retention.old_jobs(Unit(session), rule, ready(_step(rule.kind), Job.id), place, BATCH)
            yield [Item(one.job_id, one.job_id) for one in found]
            if len(found) < BATCH:
                return
            place = found[-1].place

    def _parts(self, rule: Rule, rounds: int) -> None:
        def act(job_id: str) -> None:
            more = True
            while more:
                with self._database.write_politely() as session:
                    more = retention.prune_job(Unit(session, wait=False), rule, job_id, CONDUCTOR)

        for items in self._pages(rule, rounds):
            self._isolation.each(_step(rule.kind), items, act)

    def _whole_jobs(self, rule: Rule, rounds: int) -> None:
        """Order the deletion of jobs, of several in each transaction."""

        def act(job_ids: Sequence[str]) -> None:
            for some in deletion.portions(job_ids):
                with self._database.write_politely() as session:
                    retention.order_deletions(Unit(session), rule, some, CONDUCTOR)

        for items in self._pages(rule, rounds):
            self._isolation.together(_step(rule.kind), items, act)

    def _logs(self, rule: Rule) -> None:
        """Delete logs in the store, except those of an attempt that was claimed in the meantime."""
        if self._doubt() is not None:
            return
        pages = self._pages(rule, ROUNDS)

        def remove(job_id: str, tick: Tick) -> None:
            with self._database.read() as session:
                query = select(Attempt.number, Attempt.fence).where(Attempt.job_id == job_id)
                claimed = session.execute(query).all()
            ended = {log_prefix(job_id, number, fence) for number, fence in claimed if fence is not None}
            delete_all(self._store, f"{job_prefix(job_id)}/logs/", tick, lambda name: name.rpartition("/")[0] in ended)

        def mark(job_ids: Sequence[str]) -> None:
            with self._database.write() as session:
                retention.logs_deleted(Unit(session), list(job_ids))

        Pass(_step(rule.kind), self._store, self._isolation, CLEANERS).run(lambda: next(pages, []), remove, mark, BATCH)
