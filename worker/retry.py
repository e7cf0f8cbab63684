"""Retries transient errors with exponential backoff and jitter. The caller's `wait` can end the retries early."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from baton.storage.errors import StoreUnavailable
from worker.api_client.client import ServiceUnavailable

FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0
TRANSIENT = (ServiceUnavailable, StoreUnavailable)
_T = TypeVar("_T")
log = logging.getLogger(__name__)


class Backoff:
    """Pauses that grow from FIRST_WAIT to LONGEST_WAIT. Jitter shortens each pause by up to one half."""

    def __init__(self) -> None:
        self.longest = FIRST_WAIT

    def draw(self) -> float:
        """The next pause, in seconds."""
        pause = self.longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        self.longest = min(2 * self.longest, LONGEST_WAIT)
        return pause


def retry_call(
    call: Callable[[], _T], *, wait: Callable[[float], object] = time.sleep, seconds: float | None = None
) -> _T:
    """Returns the result of `call`. Retries while service or store are unavailable, for at most `seconds`.

    `wait` sleeps, and may raise to end the retries. Errors that are not transient are raised at once.
    """
    give_up = None if seconds is None else time.monotonic() + seconds
    backoff = Backoff()
    while True:
        try:
            return call()
        except TRANSIENT as error:
            if give_up is not None and time.monotonic() + backoff.longest > give_up:
                raise
            log.warning("trying again in %.1f s: %s", backoff.longest, error)
        wait(backoff.draw())
