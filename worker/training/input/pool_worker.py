"""A helper process of the batch pipeline: takes images, augments them, lays them into shared memory.

Started by `worker.training.input.pool` as `python -m`, not by multiprocessing, whose spawn would import the program's
main module and TensorFlow with it. SIGINT and SIGTERM come blocked from there.
"""

from __future__ import annotations

import sys

from baton.system.parent_death import die_with_parent

if __name__ == "__main__":
    # Before anything slow is imported.
    die_with_parent(int(sys.argv[1]))

import mmap
import pickle
from contextlib import suppress
from multiprocessing.connection import Connection

import numpy as np

from worker.training.input.plan import BatchPlan


def serve(plan: BatchPlan, memory: mmap.mmap, requests: Connection) -> None:
    """Answers (epoch, batch, slot) with None when the batch lies in its slot, or with what went wrong; until EOF."""
    slots = np.frombuffer(memory, dtype=np.uint8).reshape(-1, *plan.shape)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            epoch, batch, slot = requests.recv()
            requests.send(_answer(plan, epoch, batch, slots[slot]))


def _answer(plan: BatchPlan, epoch: int, batch: int, slot: np.ndarray) -> str | None:
    try:
        slot[:] = plan.images(epoch, batch)
    except Exception as error:  # all of it belongs to the parent
        return f"{type(error).__name__}: {error}"
    return None


def _main(plan_file: int, memory_file: int, connection: int) -> None:
    import cv2

    # As many processes as asked for, one thread each.
    cv2.setNumThreads(1)
    with mmap.mmap(plan_file, 0, access=mmap.ACCESS_READ) as content:
        plan: BatchPlan = pickle.loads(content)  # noqa: S301 - from our own parent, through memory nobody else has
    serve(plan, mmap.mmap(memory_file, 0), Connection(connection))


if __name__ == "__main__":
    _main(*(int(argument) for argument in sys.argv[2:]))
