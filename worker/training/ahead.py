"""Computes items ahead of the consumer, in threads, and gives them in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def ahead(make: Callable[[In], Out], items: Iterable[In], *, threads: int = 1, depth: int = 2) -> Iterator[Out]:
    """`make(item)` for each item, in order, at most `depth` of them before they are asked for.

    An exception of `make` is raised where its item would have come. May be left midway: nothing more is begun then.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead")
    try:
        waiting: deque[Future[Out]] = deque()
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
