"""Runs work that may hang in a separate thread, while the waiting thread keeps checking for stops."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

LOOK_SECONDS = 0.2
CLEAN_UP_SECONDS = 2.0
_T = TypeVar("_T")


class _GivenUp(BaseException):
    """Raised in the background thread when its result is no longer needed."""


def run_in_background(call: Callable[[], _T], check: Callable[[], None]) -> _T:
    """Returns the result of `call()`, or raises its exception. If `check` raises, the call is abandoned at once."""
    return in_background(lambda _report: call(), lambda _text: None, check, clean_up=0.0)


def in_background(
    work: Callable[[Callable[[str], None]], _T],
    on_text: Callable[[str], None],
    check: Callable[[], None],
    *,
    clean_up: float = CLEAN_UP_SECONDS,
) -> _T:
    """Returns the result of `work(report)`, or raises its exception.

    `on_text`: called in this thread with each text that the work reports. `check`: called in this thread after each
    text, and otherwise every LOOK_SECONDS. An exception of one of these ends the wait. Then `report` raises in the
    background thread, which has `clean_up` seconds to remove partial results. A thread that hangs is abandoned; it ends
    with the process.
    """
    texts: SimpleQueue[str | None] = SimpleQueue()
    results: list[_T] = []
    errors: list[BaseException] = []
    given_up = threading.Event()

    def report(text: str) -> None:
        if given_up.is_set():
            raise _GivenUp
        texts.put(text)

    def run() -> None:
        try:
            results.append(work(report))
        except BaseException as error:  # raised again in the waiting thread
            errors.append(error)
        texts.put(None)

    thread = threading.Thread(target=run, name="background", daemon=True)
    thread.start()
    try:
        _follow(texts, on_text, check)
    except BaseException:
        given_up.set()
        thread.join(clean_up)
        raise
    if errors:
        raise errors[0]
    return results[0]


def _follow(texts: SimpleQueue[str | None], on_text: Callable[[str], None], check: Callable[[], None]) -> None:
    """Calls `on_text` and `check` until the work has ended."""
    while True:
        try:
            text = texts.get(timeout=LOOK_SECONDS)
        except Empty:
            check()
            continue
        if text is None:
            return
        on_text(text)
        check()
