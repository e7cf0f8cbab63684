"""A helper process of the batch pipeline: reads images, augments them, and writes them to shared memory.

`worker.training.input.pool` starts it as `python -m`. multiprocessing is not used: its spawn would import the main
module of the program, and with it TensorFlow. The process starts with SIGINT and SIGTERM blocked.
"""

from __future__ import annotations

import sys

from baton.system.parent_death import die_with_parent

if __name__ == "__main__":
    # This comes before the slow imports, so that the process also ends with its parent during them.
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

    # One thread in each process: a worker sets the number of processes to use its cores.
    cv2.setNumThreads(1)
    with mmap.mmap(plan_file, 0, access=mmap.ACCESS_READ) as content:
        plan: BatchPlan = pickle.loads(content)  # noqa: S301 - written by the parent, in private memory
    serve(plan, mmap.mmap(memory_file, 0), Connection(connection))


if __name__ == "__main__":
    _main(*(int(argument) for argument in sys.argv[2:]))
