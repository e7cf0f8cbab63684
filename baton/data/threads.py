"""Batches made ahead by threads of this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

NAME = "baton-data"


def in_threads(
    make: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], *, threads: int, ahead: int
) -> Generator[Any, None, None]:
    """What `make` returns for each of the arguments, in their order. Up to `ahead` results are made before their turn.

    An error of `make` is raised at its turn. When the generator is closed or fails, it waits until the threads have
    ended: each finishes the batch that it is making.

    >>> list(in_threads(lambda a, b: a * b, [(1, 2), (3, 4)], threads=2, ahead=2))
    [2, 12]
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix=NAME)
    waiting: deque[Future[Any]] = deque()
    try:
        for one in arguments:
            waiting.append(pool.submit(make, *one))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
