"""The reconciler's threads and the steps that each of them runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from baton.storage import BlobStore
from service.db.engine import Database
from service.notifications.sender import Sender
from service.reconciler import (
    artifact_publishing,
    checkpoint_copying,
    checkpoint_watchdog,
    code_bundles,
    dispatch,
    enforcement,
    garbage_collection,
    job_deletion,
    list_upkeep,
    placement_pass,
    pushed_data,
    totals_backfill,
)
from service.reconciler.clock_repairs import ClockRepairs
from service.reconciler.isolation import Isolation
from service.reconciler.leader_election import leadership
from service.reconciler.lease_guard import LeaseGuard
from service.reconciler.notification_delivery import DeliveryLimits, Notifier
from service.reconciler.orphaned_objects import sweep
from service.reconciler.redis_cleanup import EVERY_SECONDS, RedisCleanup
from service.reconciler.retention import RetentionPass
from service.reconciler.rq_dispatch import RqMessages
from service.reconciler.silent_workers import SilentWorkers
from service.settings import Settings
from service.usecases import attempt_outcomes

ADOPT_SECONDS = 86_400.0
PRUNE_SECONDS = 3_600.0
WATCH_SECONDS = 2.0
FORGET_SECONDS = 60.0
FEED_SECONDS = 0.5
Sure = Callable[[Callable[[Database, BlobStore, Isolation], object]], Callable[[], None]]
log = logging.getLogger(__name__)


@dataclass
class Step:
    """A step of a pass. The start and the end of a failure are logged once each."""

    name: str
    action: Callable[[], None]
    every: float = 0.0
    failing: str | None = None
    next_at: float = 0.0

    def run(self, *, forced: bool = False) -> None:
        """Run the step if it is due. A failure does not affect other steps."""
        if not forced and time.monotonic() < self.next_at:
            return
        self.next_at = time.monotonic() + self.every
        try:
            self.action()
        except Exception as error:
            what = type(error).__name__
            if self.failing != what:
                log.warning("reconciler: %s failed and will be tried again: %s: %s", self.name, what, error)
            self.failing = what
        else:
            if self.failing is not None:
                log.warning("reconciler: %s works again", self.name)
            self.failing = None


class Reconciler:
    """Runs the passes while this replica is the leader. `run_once` runs one pass without that condition.

    Two replicas may run a pass at the same time: each step checks its rows again under their locks before it acts.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        messages: RqMessages,
        store: BlobStore,
        post: Sender,
        failed: Callable[[str], None] = lambda _step: None,
        doubt: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Calls `failed` with the name of the step each time an item of a step fails.

        `doubt`: why the store may be the wrong one. Meanwhile nothing in it is published or deleted.
        """
        self.isolation = Isolation(database, failed)
        self.guard = LeaseGuard(database, settings.lease_seconds, settings.heartbeat_seconds)
        self.quick = self._quick(settings, database)
        self.sending = self._sending(settings, database, messages)
        apart = self.isolation

        # Each store step has a separate thread: a long deletion delays neither publishing nor the other deletions.
        def sure(act: Callable[[Database, BlobStore, Isolation], object]) -> Callable[[], None]:
            def run() -> None:
                if doubt() is None:
                    act(database, store, apart)

            return run

        self.copying = [Step("copying checkpoints", sure(checkpoint_copying.copy_checkpoints))]
        self.publishing = [Step("publishing artifacts", sure(artifact_publishing.publish))]
        self.deleting = [
            Step("deleting checkpoints", sure(garbage_collection.collect_checkpoints), WATCH_SECONDS),
            Step("deleting old artifacts", sure(garbage_collection.collect_garbage), WATCH_SECONDS),
        ]
        # Also a thread of its own: readers of the feed wait for it, and no heartbeat does.
        self.numbering = [Step("numbering events", lambda: list_upkeep.number_events(database), FEED_SECONDS)]
        self.jobs = [Step("deleting jobs", sure(job_deletion.delete_jobs), every=WATCH_SECONDS)]
        self.retention = RetentionPass(settings.retention, database, store, apart, doubt)
        self.pruning = self._pruning(self.retention)
        self.pushed = self._pushed(settings, database, sure)
        self.sweeping = [Step("sweeping", sure(sweep), every=settings.sweep_seconds)]
        patience = DeliveryLimits(
            settings.notify_tries, settings.notify_timeout_seconds, settings.notify_backoff_seconds
        )
        self.telling = [Step("sending notifications", Notifier(database, post, patience, self.isolation).send_due)]
        self._database = database
        self._seconds = settings.conductor_seconds
        self._leadership = leadership(database, settings.leader_seconds)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._passed: dict[str, float] = {}

    def _quick(self, settings: Settings, database: Database) -> list[Step]:
        """Steps with short deadlines. Each step compares the clocks itself: the steps before it may have taken long."""
        apart, look, limits = self.isolation, self.guard.look, settings.limits
        lease, heartbeat = settings.lease_seconds, settings.heartbeat_seconds
        patience = attempt_outcomes.OrderTimeouts(settings.cancel_seconds, settings.pause_seconds)
        silence, repairs = SilentWorkers(database, apart, lease, heartbeat), enforcement.Repairs(database, apart)

        def if_held(act: Callable[[], None]) -> Callable[[], None]:
            """Look for held attempts first: an idle service passes several times a second, and one query is cheaper."""

            def run() -> None:
                if self.guard.any_held():
                    act()

            return run

        return [
            Step("expiring leases", if_held(lambda: enforcement.expire_leases(database, apart, look, lease))),
            Step("enforcing orders", if_held(lambda: enforcement.enforce_orders(database, apart, look, patience))),
            Step(
                "enforcing limits",
                if_held(lambda: enforcement.enforce_limits(database, apart, look, settings.cancel_seconds)),
                WATCH_SECONDS,
            ),
            Step("repairing jobs", repairs.run, WATCH_SECONDS),
            Step("repairing times", ClockRepairs(database, self.guard).run),
            Step(
                "taking stale attempts out of their queues",
                lambda: placement_pass.take_stale(database, limits),
                placement_pass.STALE_EVERY_SECONDS,
            ),
            Step("placing attempts", lambda: placement_pass.place_due(database, apart, limits)),
            Step("looking for silent workers", if_held(lambda: silence.run(look))),
            Step("adding up attempts", lambda: totals_backfill.count_attempts(database, apart), WATCH_SECONDS),
            Step("listing metrics", lambda: list_upkeep.list_metrics(database, apart), WATCH_SECONDS),
            Step(
                "watching checkpoints",
                if_held(lambda: checkpoint_watchdog.watch_checkpoints(database, apart, look)),
                WATCH_SECONDS,
            ),
            Step("forgetting failures", apart.forget_old, FORGET_SECONDS),
        ]

    def _pushed(self, settings: Settings, database: Database, sure: Sure) -> list[Step]:
        """Steps about pushed data and code."""
        apart, every = self.isolation, settings.sweep_seconds
        steps = [Step("expiring code", lambda: code_bundles.expire(database, apart), every)]
        if settings.data_retention is not None:
            keep = timedelta(seconds=settings.data_retention)
            steps.append(Step("expiring pushed data", lambda: pushed_data.expire(database, keep, apart), every))
        return [
            *steps,
            Step("deleting pushed data", sure(pushed_data.collect), every),
            Step("adopting pushed data", sure(pushed_data.adopt), ADOPT_SECONDS),
        ]

    @staticmethod
    def _pruning(retention: RetentionPass) -> list[Step]:
        """Steps that apply BATON_RETENTION_*, one for each kind: a failure of one does not stop the others."""
        kinds = retention.rules.kinds()
        steps = [Step(f"pruning {kind}", partial(retention.run, kind), PRUNE_SECONDS) for kind in kinds]
        return [*steps, Step("finding forgotten deletions", retention.wake_forgotten, PRUNE_SECONDS)]

    def _sending(self, settings: Settings, database: Database, messages: RqMessages) -> list[Step]:
        """Steps that wait for Redis."""
        again, limits, apart = settings.dispatch_again_seconds, settings.limits, self.isolation
        left_over = RedisCleanup(database, messages, apart)
        return [
            Step("dispatching to Redis", lambda: dispatch.dispatch(database, messages, again, limits, apart)),
            Step("removing messages", lambda: dispatch.clean(database, messages, apart)),
            Step("sweeping Redis", left_over.run, EVERY_SECONDS),
        ]

    def start(self) -> None:
        """Start the threads, unless the settings disable them. They run passes while this replica is the leader.

        Every replica records that it takes heartbeats, leader or not.
        """
        self.guard.start()
        if self._seconds:
            self._leadership.start()
            for name, steps in (
                ("conductor", self.quick),
                ("dispatching", self.sending),
                ("copying", self.copying),
                ("publishing", self.publishing),
                ("deleting", self.deleting),
                ("sweeping", self.sweeping),
                ("jobs", self.jobs),
                ("pruning", self.pruning),
                ("pushed data", self.pushed),
                ("notifying", self.telling),
                ("numbering", self.numbering),
            ):
                self._passed[name] = time.monotonic()
                thread = threading.Thread(target=self._run, args=(name, steps), name=name, daemon=True)
                self._threads.append(thread)
                thread.start()

    def stop(self) -> None:
        """Stop after the current steps. A hanging step is abandoned after a short wait: all steps can be repeated."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=2.0)
        self._leadership.stop()
        self.guard.stop()
        self._database.close()

    def leads(self) -> bool:
        """Whether this replica is the leader."""
        return bool(self._seconds) and self._leadership.leads()

    def leader(self) -> str:
        """The leader, as text for operators."""
        return self._leadership.describe() if self._seconds else "not this replica: BATON_CONDUCTOR_SECONDS is 0"

    def run_once(self) -> None:
        """Run all steps once, in this thread, whether they are due or not."""
        stored = [*self.copying, *self.publishing, *self.deleting, *self.sweeping]
        stored += [*self.pruning, *self.jobs, *self.pushed]
        for step in [*self.quick, *self.sending, *stored, *self.telling, *self.numbering]:
            step.run(forced=True)

    def pass_ages(self) -> dict[str, float]:
        """Seconds since each reconciler thread ended its last pass, by thread name. Small if another replica leads."""
        now = time.monotonic()
        return {name: now - passed for name, passed in self._passed.items()}

    def _run(self, name: str, steps: list[Step]) -> None:
        while not self._stopping.is_set():
            try:
                self._pass(steps)
            except BaseException as error:  # catch everything: a thread that ended would never run again
                log.exception("reconciler: a pass of %s was aborted by %s", name, type(error).__name__)
            self._passed[name] = time.monotonic()
            self._stopping.wait(self._seconds)

    def _pass(self, steps: list[Step]) -> None:
        for step in steps:
            # Check leadership before each step: a suspended process may have lost it meanwhile.
            if self._stopping.is_set() or not self._leadership.leads():
                return
            step.run()
