"""Runs calls in a few threads that do not delay the end of the process: Ctrl-C stops a push at once."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_parallel(items: Iterable[_T], act: Callable[[_T], _R], threads: int) -> Iterator[_R]:
    """Yield the results of `act(item)` as they come. The first exception ends the iteration, and no new call begins.

    >>> sorted(in_parallel([3, 1, 2], lambda number: number * 10, threads=2))
    [10, 20, 30]
    """
    left, results = deque(items), queue.SimpleQueue[tuple[_R | None, BaseException | None]]()
    count, stopped = len(left), threading.Event()

    def work() -> None:
        while not stopped.is_set():
            try:
                item = left.popleft()
            except IndexError:
                return
            try:
                results.put((act(item), None))
            except BaseException as error:  # raised again below
                results.put((None, error))

    for _ in range(min(threads, count)):
        threading.Thread(target=work, name="push", daemon=True).start()
    try:
        for _ in range(count):
            result, error = results.get()
            if error is not None:
                raise error
            yield result  # type: ignore[misc]  # None only if `act` returns it
    finally:
        stopped.set()


def in_order(items: Iterable[_T], act: Callable[[_T], _R], ahead: int) -> Iterator[_R]:
    """Yield the results of `act(item)` in the order of the items. At most `ahead` calls run ahead of the iteration.

    >>> list(in_order([3, 1, 2], lambda number: number * 10, ahead=2))
    [30, 10, 20]
    """
    waiting: deque[queue.SimpleQueue[tuple[_R | None, BaseException | None]]] = deque()

    def begin(item: _T) -> None:
        box = queue.SimpleQueue[tuple[_R | None, BaseException | None]]()

        def work() -> None:
            try:
                box.put((act(item), None))
            except BaseException as error:  # raised again below
                box.put((None, error))

        waiting.append(box)
        threading.Thread(target=work, name="pull", daemon=True).start()

    def first() -> _R:
        result, error = waiting.popleft().get()
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # None only if `act` returns it

    for item in items:
        if len(waiting) == ahead:
            yield first()
        begin(item)
    while waiting:
        yield first()
