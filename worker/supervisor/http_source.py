"""The polling worker: asks the service itself for work, over HTTP alone, where Redis cannot be reached."""

from __future__ import annotations

import logging
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue
from types import FrameType

from baton.domain.store_identity import STORE_UNREACHABLE, WRONG_STORE
from baton.domain.wire import NextRequest, Offer
from worker.api_client.client import Refused, ServiceClient, ServiceUnavailable
from worker.retry import Backoff, retry_call
from worker.settings import WorkerSettings
from worker.supervisor.supervisor import Supervisor
from worker.worker_info import worker_info

WAIT_SECONDS = 25.0
"""How long the service may think before it answers "nothing": proxies cut connections that are silent for 30 s."""

ASK_SECONDS = WAIT_SECONDS + 60.0
"""After so long a request is given up: an answer that comes byte by byte keeps every shorter limit."""

PROMPT_SECONDS = 1.0
REPEATED_SIGNAL_SECONDS = 1.0
log = logging.getLogger(__name__)


class _AskedToEnd(Exception):
    """Ends a wait."""


@dataclass(frozen=True)
class _Answer:
    """What came of the request of this number."""

    number: int
    what: Offer | Exception


class PollingWorker:
    """Trains what the service offers. An offer is a hint, as a message in Redis is one: the claim decides."""

    def __init__(self, client: ServiceClient, supervisor: Supervisor, request: NextRequest) -> None:
        self._client, self._supervisor, self._request = client, supervisor, request
        # A queue, because a signal's handler may write to it whatever this thread is doing.
        self._answers: SimpleQueue[_Answer | None] = SimpleQueue()
        self._numbers = count(1)
        self._in_vain = Backoff()
        self._signalled_at: float | None = None

    def work(self, *, once: bool) -> None:
        """Works until it is asked to end, or with `once` until one attempt has ended. Raises Refused."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._supervisor.end_wait = self._end_wait
        log.info("asking the service for work in %s", ", ".join(self._request.queues))
        with suppress(_AskedToEnd):
            while not self._supervisor.stopping:
                if self._work_once() and once:
                    return
        log.info("asked to end: nothing more to hand over")

    def _end_wait(self) -> None:
        self._answers.put(None)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        now, name = time.monotonic(), signal.Signals(number).name
        if self._signalled_at is None:
            self._signalled_at = now
            self._supervisor.stop(name)
            self._end_wait()
        elif now - self._signalled_at > REPEATED_SIGNAL_SECONDS:
            log.warning("%s again: ended without a hand-over", name)
            self._supervisor.kill()
            raise SystemExit(1)

    def _work_once(self) -> bool:
        """Whether an attempt was trained here. Offers are taken once the training process is warm."""
        self._supervisor.liveness.beat()
        if not self._supervisor.await_rest():
            return False
        if not self._supervisor.await_warm():
            if not self._supervisor.stopping:
                log.error("the training process does not get ready; its own lines above say why")
            return self._pause_in_vain()
        if not self._supervisor.await_device() or not self._supervisor.await_store():
            return False
        asked = time.monotonic()
        offer = retry_call(self._ask, wait=self._pause)
        if offer.attempt_id is None:
            # A service that does not wait is not flooded.
            return self._pause_in_vain() if time.monotonic() - asked < PROMPT_SECONDS else False
        with self._supervisor.taken():
            trained = self._supervisor.train(offer.attempt_id)
        if not trained:
            return self._pause_in_vain()
        self._in_vain = Backoff()
        return True

    def _ask(self) -> Offer:
        # In a thread of its own, which nobody waits for once the worker is asked to end.
        number, give_up = next(self._numbers), time.monotonic() + ASK_SECONDS
        threading.Thread(target=self._ask_and_tell, args=(number,), name="poll", daemon=True).start()
        while True:
            try:
                answer = self._answers.get(timeout=max(0.0, give_up - time.monotonic()))
            except Empty:
                raise ServiceUnavailable(f"no answer within {ASK_SECONDS:.0f} s") from None
            if answer is None:
                raise _AskedToEnd
            if answer.number != number:
                continue  # a late answer to a request that was given up: what it offers is offered again
            if isinstance(answer.what, Exception):
                raise answer.what
            return answer.what

    def _ask_and_tell(self, number: int) -> None:
        try:
            self._answers.put(_Answer(number, self._next()))
        except Exception as error:
            self._answers.put(_Answer(number, error))

    def _next(self) -> Offer:
        store = self._supervisor.store
        try:
            return self._client.next_attempt(self._asking())
        except Refused as error:
            if store is None or error.problem not in (WRONG_STORE, STORE_UNREACHABLE):
                raise
            # The store may have been mounted, or got its identity, since the last check.
            if store.ref == store.look() and error.problem == WRONG_STORE:
                raise
            return Offer(attempt_id=None)

    def _asking(self) -> NextRequest:
        store = self._supervisor.store
        update = {"device": self._supervisor.device, "store": store.ref if store else None}
        return self._request.model_copy(update={"worker": self._request.worker.model_copy(update=update)})

    def _pause_in_vain(self) -> bool:
        self._pause(self._in_vain.draw())
        return False

    def _pause(self, seconds: float) -> None:
        self._supervisor.liveness.beat()
        with suppress(Empty):
            if self._answers.get(timeout=seconds) is None:
                raise _AskedToEnd


def work(
    settings: WorkerSettings, client: ServiceClient, supervisor: Supervisor, queues: list[str], *, once: bool
) -> None:
    """Runs what the service offers until the worker is asked to end, or with `once` for one attempt. Raises Refused."""
    request = NextRequest(
        worker=worker_info(settings, supervisor.device), queues=tuple(queues), wait_seconds=WAIT_SECONDS
    )
    PollingWorker(client, supervisor, request).work(once=once)
