"""Computes items ahead of the consumer in threads, and yields them in order."""

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
    """`make(item)` for each item, in order, at most `depth` items ahead of the consumer.

    An exception of `make` is raised at the position of its item. `waiting`: called every LOOK_SECONDS while the next
    item is not ready; an exception that it raises ends the work. If the consumer stops early, no more items are begun,
    and threads that hang are abandoned.
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
