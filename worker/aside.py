"""Calls that may hang, in a thread of their own: the caller goes on looking for orders."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

LOOK_SECONDS = 0.2
_T = TypeVar("_T")


def run_aside(call: Callable[[], _T], look: Callable[[], None]) -> _T:
    """The result of `call`, or what it raised. `look` is called every LOOK_SECONDS meanwhile.

    What `look` raises ends the wait. The thread is a daemon: it is left behind with the call, and its result is lost.
    """
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="aside", daemon=True)
    thread.start()
    while True:
        thread.join(LOOK_SECONDS)
        if not thread.is_alive():
            break
        look()
    if errors:
        raise errors[0]
    return results[0]
