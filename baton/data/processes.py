"""Batches made ahead by processes, with Grain. They go on across the ends of epochs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from baton.data.making import Maker
from baton.data.trees import mapped
from baton.program.errors import ProgramError

ENDLESS = 2**48
"""The length of what Grain reads where the last epoch is not known: more batches than a training has."""
SHARED_FROM = 2**20
"""Bytes of an array that goes through shared memory. What is smaller is as fast through a pipe, and cannot fill it."""


class _Elements:
    """The batches from a position on, of all epochs, as a data source of Grain."""

    def __init__(self, maker: Maker, epoch: int, start: int, until: int | None) -> None:
        self._maker = maker
        self._first = epoch * len(maker.plan) + start
        self._number = ENDLESS if until is None else until * len(maker.plan) - self._first

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, number: int) -> Any:
        epoch, index = divmod(self._first + number, len(self._maker.plan))
        self._maker.begin(epoch)
        return self._maker.alone(epoch, index)


class Processes:
    """An iterator over the batches from a position on, of all epochs before `until` (None: of all).

    `next_position`: of the batch that it gives next, None behind the last one.

    Raises:
        ProgramError: Grain is not installed, or the source or the transform cannot be sent to another process.
    """

    def __init__(self, maker: Maker, epoch: int, start: int, *, until: int | None, processes: int, ahead: int) -> None:
        grain = _grain()
        options = grain.MultiprocessingOptions(
            num_workers=processes, per_worker_buffer_size=max(1, -(-ahead // processes))
        )
        # In a process of its own, threads would only wait for each other.
        read = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
        elements = _Elements(maker, epoch, start, until)
        data = grain.MapDataset.source(elements).to_iter_dataset(read, allow_nones=True)
        shared = grain.experimental.DatasetOptions(min_shm_size=SHARED_FROM)
        data = grain.experimental.WithOptionsIterDataset(data, shared)
        iterator = iter(data.mp_prefetch(options, worker_init_fn=_in_worker))
        self._batches, self._until = len(maker.plan), until
        self.next_position: tuple[int, int] | None = (epoch, start)
        self._kept: list[Any] = [iterator]
        # Also at the end of the program: Grain's own clean-up comes too late there, and prints errors.
        self.close: Callable[[], object] = weakref.finalize(self, _close, self._kept)

    def __next__(self) -> Any:
        try:
            batch = next(self._kept[0])
        except (TypeError, AttributeError, RuntimeError, ValueError) as error:
            if "pickle" not in str(error):
                raise
            raise ProgramError(
                f"processes: the source, `transform` or `collate` cannot be sent to another process ({error}). Use "
                "`threads`, or give the data set `__getstate__`"
            ) from error
        assert self.next_position is not None
        epoch, index = self.next_position
        following = (epoch, index + 1) if index + 1 < self._batches else (epoch + 1, 0)
        self.next_position = None if following[0] == self._until else following
        return mapped(_plain, batch)


def _plain(leaf: Any) -> Any:
    """An array in shared memory as an array of NumPy, which keeps the memory as long as it lives."""
    return leaf.view(np.ndarray) if type(leaf).__name__ == "SharedMemoryArray" else leaf


def _close(kept: list[Any]) -> None:
    while kept:
        kept.pop().close()


def _grain() -> Any:
    try:
        import grain
    except ImportError as error:
        raise ProgramError(
            "processes: batches are made in other processes by Grain, which is not installed. Run `pip install grain`, "
            "or use `threads`"
        ) from error
    return grain


def _in_worker(*_: int) -> None:
    """Runs first in each process."""
    # Ctrl-C is sent to all processes of a terminal. It is a request to stop: the program needs more batches until it
    # has saved, and then ends these processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), name="baton-data-parent", daemon=True).start()


def _end_with(parent: Any) -> None:
    """End this process when its parent has ended, even by SIGKILL: Grain's processes would stay."""
    parent.join()
    os._exit(1)
