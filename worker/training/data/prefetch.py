"""Computes items ahead of the consumer, in threads, and gives them in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

LOOK_SECONDS = 0.5
In = TypeVar("In")
Out = TypeVar("Out")


def ahead(
    make: Callable[[In], Out],
    items: Iterable[In],
    *,
    threads: int = 1,
    depth: int = 2,
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[Out]:
    """`make(item)` for each item, in order, at most `depth` of them before they are asked for.

    An exception of `make` is raised where its item would have come. `waiting`: called every LOOK_SECONDS while the next
    item is not ready; what it raises ends the work. May be left midway: nothing more is begun then, and a thread that
    hangs is left behind.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead")
    try:
        begun: deque[Future[Out]] = deque()
        for item in items:
            begun.append(pool.submit(make, item))
            if len(begun) > depth:
                yield _result(begun.popleft(), waiting)
        while begun:
            yield _result(begun.popleft(), waiting)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _result(item: Future[Out], waiting: Callable[[], None]) -> Out:
    while not item.done():
        if not wait([item], LOOK_SECONDS).done:
            waiting()
    return item.result()
