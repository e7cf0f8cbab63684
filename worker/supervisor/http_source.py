"""The polling worker: gets work from the service over HTTP, for machines that cannot reach Redis."""

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
"""How long the service may hold a poll open. Less than 30 s: proxies close connections that are silent longer."""

REQUEST_SECONDS = WAIT_SECONDS + 60.0
"""The total time limit of a poll. The client's own timeouts do not end a response that arrives byte by byte."""

PROMPT_SECONDS = 1.0
"""An empty answer within this time means that the service does not hold polls open. The worker then polls slower."""
REPEATED_SIGNAL_SECONDS = 1.0
log = logging.getLogger(__name__)


class _EndRequested(Exception):
    """Raised to end a wait, because the worker was asked to end."""


@dataclass(frozen=True)
class _Answer:
    """The result of the request with this number."""

    number: int
    result: Offer | Exception


class PollingWorker:
    """Runs the attempts that the service offers. Like a message in Redis, an offer is a hint: the claim decides."""

    def __init__(self, client: ServiceClient, supervisor: Supervisor, request: NextRequest) -> None:
        self._client, self._supervisor, self._request = client, supervisor, request
        # Only a SimpleQueue is safe here: a signal handler may write to it at any point of this thread.
        self._answers: SimpleQueue[_Answer | None] = SimpleQueue()
        self._numbers = count(1)
        self._no_work_backoff = Backoff()
        self._signalled_at: float | None = None

    def work(self, *, once: bool) -> None:
        """Runs attempts until the worker is asked to end; with `once`, only one attempt. Raises Refused."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._supervisor.end_wait = self._end_wait
        log.info("polling the service for work in the queues %s", ", ".join(self._request.queues))
        with suppress(_EndRequested):
            while not self._supervisor.stopping:
                if self._work_once() and once:
                    return
        log.info("asked to end: no attempt is left to hand over")

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
        """Returns whether an attempt was run here. Requests an offer only when the training process is warm."""
        self._supervisor.liveness.beat()
        if not self._supervisor.await_rest():
            return False
        if not self._supervisor.await_warm():
            if not self._supervisor.stopping:
                log.error("the training process does not become ready; see its output above")
            return self._pause_without_work()
        if not self._supervisor.await_device() or not self._supervisor.await_store():
            return False
        requested = time.monotonic()
        offer = retry_call(self._poll, wait=self._pause)
        if offer.attempt_id is None:
            return self._pause_without_work() if time.monotonic() - requested < PROMPT_SECONDS else False
        with self._supervisor.taken():
            trained = self._supervisor.train(offer.attempt_id)
        if not trained:
            return self._pause_without_work()
        self._no_work_backoff = Backoff()
        return True

    def _poll(self) -> Offer:
        # The request runs in a separate thread, which is abandoned when the worker is asked to end.
        number, give_up = next(self._numbers), time.monotonic() + REQUEST_SECONDS
        threading.Thread(target=self._request_and_answer, args=(number,), name="poll", daemon=True).start()
        while True:
            try:
                answer = self._answers.get(timeout=max(0.0, give_up - time.monotonic()))
            except Empty:
                raise ServiceUnavailable(f"no answer within {REQUEST_SECONDS:.0f} s") from None
            if answer is None:
                raise _EndRequested
            if answer.number != number:
                continue  # a late answer to an abandoned request: the service offers its attempt again
            if isinstance(answer.result, Exception):
                raise answer.result
            return answer.result

    def _request_and_answer(self, number: int) -> None:
        try:
            self._answers.put(_Answer(number, self._next()))
        except Exception as error:
            self._answers.put(_Answer(number, error))

    def _next(self) -> Offer:
        store = self._supervisor.store
        try:
            # The device and the store may have changed since the last poll.
            update = {"device": self._supervisor.device, "store": store.ref if store else None}
            worker = self._request.worker.model_copy(update=update)
            return self._client.next_attempt(self._request.model_copy(update={"worker": worker}))
        except Refused as error:
            if store is None or error.problem not in (WRONG_STORE, STORE_UNREACHABLE):
                raise
            # The store may have been mounted, or got its identity, since the last check.
            if store.ref == store.look() and error.problem == WRONG_STORE:
                raise
            return Offer(attempt_id=None)

    def _pause_without_work(self) -> bool:
        self._pause(self._no_work_backoff.draw())
        return False

    def _pause(self, seconds: float) -> None:
        self._supervisor.liveness.beat()
        with suppress(Empty):
            if self._answers.get(timeout=seconds) is None:
                raise _EndRequested


def work(
    settings: WorkerSettings, client: ServiceClient, supervisor: Supervisor, queues: list[str], *, once: bool
) -> None:
    """Runs attempts that the service offers until the worker is asked to end; with `once`, only one. Raises Refused."""
    request = NextRequest(
        worker=worker_info(settings, supervisor.device), queues=tuple(queues), wait_seconds=WAIT_SECONDS
    )
    PollingWorker(client, supervisor, request).work(once=once)
