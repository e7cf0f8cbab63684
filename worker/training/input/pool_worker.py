"""A helper process of the batch pipeline: reads images, augments them, and writes them to shared memory.

Started by `worker.training.input.pool` as `python -m`, not by multiprocessing, whose spawn would import the program's
main module and TensorFlow with it. It starts with SIGINT and SIGTERM blocked.
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

from worker.training.input.batch_plan import BatchPlan


def serve(plan: BatchPlan, memory: mmap.mmap, requests: Connection) -> None:
    """Answers each (epoch, batch, slot) with None once the batch is in its slot, or with an error text. Ends at EOF."""
    slots = np.frombuffer(memory, dtype=np.uint8).reshape(-1, *plan.shape)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            epoch, batch, slot = requests.recv()
            requests.send(_answer(plan, epoch, batch, slots[slot]))


def _answer(plan: BatchPlan, epoch: int, batch: int, slot: np.ndarray) -> str | None:
    try:
        slot[:] = plan.images(epoch, batch)
    except Exception as error:  # the parent reports every error
        return f"{type(error).__name__}: {error}"
    return None


def _main(plan_file: int, memory_file: int, connection: int) -> None:
    import cv2

    # One thread in each process: the number of processes is what a worker sets.
    cv2.setNumThreads(1)
    with mmap.mmap(plan_file, 0, access=mmap.ACCESS_READ) as content:
        plan: BatchPlan = pickle.loads(content)  # noqa: S301 - written by the parent, in private memory
    serve(plan, mmap.mmap(memory_file, 0), Connection(connection))


if __name__ == "__main__":
    _main(*(int(argument) for argument in sys.argv[2:]))
