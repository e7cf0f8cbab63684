"""Work that may hang, in a thread of its own: whoever waits for it goes on looking at its orders."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

LOOK_SECONDS = 0.2
CLEAN_UP_SECONDS = 2.0
_T = TypeVar("_T")


class _GivenUp(BaseException):
    """Raised in the thread when nobody waits for it any more."""


def run_in_background(call: Callable[[], _T], look: Callable[[], None]) -> _T:
    """The result of `call()`, or what it raises. `look` as in `aside`; a call that hangs is left behind at once."""
    return in_background(lambda _told: call(), lambda _text: None, look, clean_up=0.0)


def in_background(
    work: Callable[[Callable[[str], None]], _T],
    hear: Callable[[str], None],
    look: Callable[[], None],
    *,
    clean_up: float = CLEAN_UP_SECONDS,
) -> _T:
    """The result of `work(told)`, or what it raises.

    `hear`: called here with each text that the work tells. `look`: called here after each text, and every LOOK_SECONDS
    while there is none. What the two raise ends the wait: `told` then raises in the thread, which has `clean_up`
    seconds to remove what it began. A thread that hangs in a read is left behind; it ends with the process.
    """
    news: SimpleQueue[str | None] = SimpleQueue()
    results: list[_T] = []
    errors: list[BaseException] = []
    given_up = threading.Event()

    def told(text: str) -> None:
        if given_up.is_set():
            raise _GivenUp
        news.put(text)

    def run() -> None:
        try:
            results.append(work(told))
        except BaseException as error:  # all of it belongs to whoever waits
            errors.append(error)
        news.put(None)

    thread = threading.Thread(target=run, name="aside", daemon=True)
    thread.start()
    try:
        _follow(news, hear, look)
    except BaseException:
        given_up.set()
        thread.join(clean_up)
        raise
    if errors:
        raise errors[0]
    return results[0]


def _follow(news: SimpleQueue[str | None], hear: Callable[[str], None], look: Callable[[], None]) -> None:
    """Until the work has ended."""
    while True:
        try:
            text = news.get(timeout=LOOK_SECONDS)
        except Empty:
            look()
            continue
        if text is None:
            return
        hear(text)
        look()
