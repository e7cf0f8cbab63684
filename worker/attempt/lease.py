"""The lease on an attempt: a separate thread renews it, and receives the directives of the service."""

from __future__ import annotations

import logging
import threading
import time

from baton.domain.errors import LeaseLost
from baton.domain.goodput import Stopwatch
from baton.domain.protocol_versions import known
from baton.domain.wire import Directive, Grant, Heartbeat, Phase, Progress
from worker.api_client.client import Refused, ServiceClient, ServiceUnavailable
from worker.checkpointing.store_troubles import StoreTroubles
from worker.ipc.progress import CELL

MAX_UNANSWERED_LEASES = 40
"""After this many lease times without a response, another worker must have the job, so this worker stops training."""
CANCEL_SECONDS, LOST_SECONDS = 10.0, 30.0
"""The supervisor kills a process that has not ended this long after a cancellation, or after the loss of its lease."""
LAST_BEAT_SECONDS = 5.0
log = logging.getLogger(__name__)


class Lease:
    """The lease on one attempt. Training continues while the service is unavailable. The lease ends with the response
    `lease-lost`, or after MAX_UNANSWERED_LEASES lease times without a response.

    `watch` divides the time since the grant into buckets, and each heartbeat reports the sums. `interval_seconds`: the
    current checkpoint interval; heartbeats report it once it is known. `stands_at`: the global step at which the loop
    ended. `troubles`: current failures that are retried; each heartbeat reports them.
    """

    def __init__(self, client: ServiceClient, grant: Grant) -> None:
        self._client, self._grant = client, grant
        self.watch = Stopwatch(time.monotonic)
        self.interval_seconds: float | None = None
        self.stands_at: int | None = None
        self._changed = threading.Event()
        self.troubles = StoreTroubles(self._changed.set)
        self._closed = False
        self._lock = threading.Lock()
        self._phase, self._progress, self._metrics = Phase.STARTING, None, {}  # type: Phase, Progress | None, dict[str, float]
        self._doing: str | None = None
        self.directive = Directive.CONTINUE
        self.lost: str | None = None
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._changed.set()
        self._thread.join(LAST_BEAT_SECONDS)

    def check(self) -> None:
        """Raises LeaseLost if the lease is lost."""
        if self.lost is not None:
            raise LeaseLost(self.lost)

    def lose(self, why: str) -> None:
        """Marks the lease as lost. The process must then end within LOST_SECONDS."""
        self.lost = self.lost or why
        CELL.end_within(LOST_SECONDS, cancelled=False)

    def tell(
        self,
        phase: Phase,
        progress: Progress | None = None,
        metrics: dict[str, float] | None = None,
        doing: str | None = None,
    ) -> None:
        """Sets the content of the next heartbeat. A new phase, and a `doing` that appears or ends, is sent at once."""
        with self._lock:
            changed = phase is not self._phase or (doing is None) is not (self._doing is None)
            self._phase, self._doing = phase, doing
            self._progress = progress or self._progress
            self._metrics = metrics or self._metrics
        if changed:
            self._changed.set()

    @property
    def phase(self) -> Phase:
        """The phase that was set last."""
        return self._phase

    @property
    def progress(self) -> Progress | None:
        """The progress that was set last."""
        return self._progress

    def _run(self) -> None:
        answered = time.monotonic()
        while not self._closed and self.lost is None:
            self._changed.clear()
            if self._beat():
                answered = time.monotonic()
            elif time.monotonic() - answered > MAX_UNANSWERED_LEASES * self._grant.lease_seconds:
                self.lose("the service has not answered for too long")
            self._changed.wait(self._grant.heartbeat_seconds)

    def _beat(self) -> bool:
        """Sends a heartbeat. Returns whether the service answered."""
        with self._lock:
            message = Heartbeat(
                fence=self._grant.fence,
                phase=self._phase,
                progress=self._progress,
                metrics=self._metrics,
                seconds=self.watch.seconds(),
                interval_seconds=self.interval_seconds,
                doing=self._doing,
                trouble=self.troubles.current(),
            )
        try:
            beat = self._client.heartbeat(self._grant.attempt_id, message)
            self.directive = known(Directive, beat.directive) or Directive.CONTINUE
            if self.directive is Directive.CANCEL:
                CELL.end_within(CANCEL_SECONDS, cancelled=True)
        except ServiceUnavailable as error:
            log.warning("the service did not answer the heartbeat; training continues: %s", error)
            return False
        except (LeaseLost, Refused) as error:
            self.lose(str(error))
        return True
