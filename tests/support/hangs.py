"""Ways in which a training process stops making progress, for `tests.support.fake_process`."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from enum import StrEnum
from pathlib import Path

import numpy as np

from baton.domain.wire import Phase
from worker.attempt.protocols import Control, Stopped
from worker.background import in_background
from worker.training.data import Split
from worker.training.input.host_source import BatchSource

PIDS = "BATON_FAKE_PIDS"
"""The file to which the hanging process writes its pid and the pids of the processes that it started."""
FOREVER = 3600


class Hang(StrEnum):
    """The call that does not return."""

    SLEEP = "sleep"
    NATIVE = "native"
    PIPE = "pipe"
    LOADING = "loading"


def hang(how: Hang, control: Control) -> None:
    """Never return, unless the job is stopped while it loads."""
    ways = {Hang.SLEEP: _sleep, Hang.NATIVE: _native, Hang.PIPE: _pipe, Hang.LOADING: _loading}
    ways[how](control)


def _sleep(_control: Control) -> None:
    """Wait forever in Python."""
    _say()
    time.sleep(FOREVER)


def _native(_control: Control) -> None:
    """Wait forever in the C library while holding the interpreter's lock. No signal ends this wait."""
    _say()
    library, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(128)  # zeros: an unlocked mutex
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


def _say(*more: int) -> None:
    file = Path(os.environ[PIDS])
    part = file.with_suffix(".part")
    part.write_text(" ".join(map(str, (os.getpid(), *more))))
    part.replace(file)


def _look(control: Control) -> None:
    if control.stopping() is not None:
        raise Stopped


def _pipe(control: Control) -> None:
    """Read from a suspended augmentation process: its pipe stays open and nothing comes."""
    split = Split.of(np.zeros((8, 8, 8, 3), np.uint8), np.zeros(8, np.int32))
    settings = {"policy": "paper-1", "seed": 1, "stage": 0, "batch_size": 4, "steps_per_epoch": 1000}
    source = BatchSource(split, **settings, processes=1, waiting=lambda: _look(control))  # type: ignore[arg-type]
    batches = source.batches(0)
    next(batches)
    os.kill(source.pids[0], signal.SIGSTOP)
    _say(*source.pids)
    for _ in batches:
        pass  # batches that were computed ahead


def _loading(control: Control) -> None:
    """A read that never returns, like a read from a mount whose server is gone."""
    fifo = Path(os.environ[PIDS]).with_suffix(".fifo")
    os.mkfifo(fifo)
    control.tell(Phase.LOADING)
    _say()
    in_background(lambda _told: fifo.read_bytes(), lambda _text: None, lambda: _look(control))
