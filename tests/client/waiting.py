"""Waiting with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.polling import pauses

T = TypeVar("T")


def eventually(ask: Callable[[], T], what: str, seconds: float = 60.0) -> T:
    """Call `ask` until its value is true, and return that value."""
    deadline = time.monotonic() + seconds
    for pause in pauses():
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            break
        time.sleep(pause)
    raise AssertionError(f"not within {seconds} s: {what}")
