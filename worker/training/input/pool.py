"""Helper processes that compute the next batches, in order, in shared memory, while the current batch trains."""

from __future__ import annotations

import logging
import math
import mmap
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from baton.domain.errors import JobFailure
from worker.ipc import progress
from worker.ipc.shared_memory import memory_file
from worker.training.input.batch_plan import BatchPlan

# For each process, one batch in progress and two finished: enough to keep the device busy if step times vary.
_SLOTS_PER_PROCESS = 3
_MEMORY_BYTES = 1 << 30
ANSWER_SECONDS = 0.5
"""How often `waiting` is called while a helper does not answer."""
KILL_SECONDS = 5.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Helper:
    process: subprocess.Popen[bytes]
    requests: Connection


@dataclass(frozen=True)
class _Ahead:
    epoch: int
    batch: int
    slot: int


class BatchPool:
    """Returns the images of any batch. Meanwhile computes the batches after it, also those of the next epoch.

    Not thread-safe. The thread that creates the pool must live as long as the pool, because the helpers end with it.
    `waiting`: called repeatedly while a helper does not answer; an exception that it raises ends the wait.
    """

    def __init__(self, plan: BatchPlan, processes: int, waiting: Callable[[], None] = lambda: None) -> None:
        batch_bytes = math.prod(plan.shape)
        slots = processes * min(_SLOTS_PER_PROCESS, max(1, _MEMORY_BYTES // (processes * batch_bytes)))
        self._plan, self._waiting = plan, waiting
        self._ahead: deque[_Ahead] = deque()
        self._next_slot = 0
        self._helpers: list[_Helper] = []
        with memory_file(size=slots * batch_bytes) as memory, memory_file(pickle.dumps(plan)) as content:
            self._slots = np.frombuffer(mmap.mmap(memory.fileno(), 0), dtype=np.uint8).reshape(slots, *plan.shape)
            try:
                for _ in range(processes):
                    self._helpers.append(_start(content.fileno(), memory.fileno()))
            except BaseException:
                self.close()
                raise

    @property
    def pids(self) -> tuple[int, ...]:
        """The helpers' process ids."""
        return tuple(helper.process.pid for helper in self._helpers)

    def images(self, epoch: int, batch: int) -> NDArray[np.uint8]:
        """The images of a batch, uint8 [batch_size, size, size, 3], as `BatchPlan.images` gives them.

        Raises:
            JobFailure: augmentation_died, a helper died; exception, with the error of a helper.
        """
        if self._ahead and (self._ahead[0].epoch, self._ahead[0].batch) != (epoch, batch):
            while self._ahead:
                self._receive(self._ahead.popleft())
        self._request_from(epoch, batch)
        found = self._ahead.popleft()
        self._receive(found)
        images: NDArray[np.uint8] = self._slots[found.slot].copy()
        self._request_from(*self._plan.after(epoch, batch))
        return images

    def close(self) -> None:
        """Kills the helpers. They have no state to save."""
        for helper in self._helpers:
            helper.requests.close()
            helper.process.kill()
        for helper in self._helpers:
            _reap(helper.process)
        self._helpers.clear()
        self._ahead.clear()

    def _request_from(self, epoch: int, batch: int) -> None:
        """Fills the free slots with the batches after the last requested one. Without one, starts with this batch."""
        position = (epoch, batch)
        if self._ahead:
            position = self._plan.after(self._ahead[-1].epoch, self._ahead[-1].batch)
        while len(self._ahead) < len(self._slots):
            self._request(_Ahead(*position, self._next_slot))
            position = self._plan.after(*position)

    def _request(self, wanted: _Ahead) -> None:
        helper = self._helper_of(wanted)
        _exchange(helper, lambda: helper.requests.send((wanted.epoch, wanted.batch, wanted.slot)))
        self._ahead.append(wanted)
        self._next_slot = (wanted.slot + 1) % len(self._slots)

    def _receive(self, wanted: _Ahead) -> None:
        helper = self._helper_of(wanted)
        error = _exchange(helper, lambda: self._answer(helper))
        if error is not None:
            raise JobFailure("exception", f"augmentation {self._plan.policy} failed: {error}")

    def _answer(self, helper: _Helper) -> str | None:
        while not helper.requests.poll(ANSWER_SECONDS):
            progress.doing(f"waiting for a batch of augmentation process {helper.process.pid}")
            self._waiting()
        answer: str | None = helper.requests.recv()
        return answer

    def _helper_of(self, wanted: _Ahead) -> _Helper:
        if not self._helpers:
            raise ValueError("the batch source is closed")
        return self._helpers[wanted.slot % len(self._helpers)]


def _exchange(helper: _Helper, call: Callable[[], str | None]) -> str | None:
    try:
        return call()
    except (EOFError, OSError):
        _raise_died(helper.process)


def _raise_died(process: subprocess.Popen[bytes]) -> NoReturn:
    process.kill()
    code = _reap(process)
    if code is None:
        raise JobFailure(
            "augmentation_died", f"augmentation process {process.pid} closed its pipe and cannot be killed"
        )
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    hint = ", perhaps for lack of memory" if code == -signal.SIGKILL else ""
    raise JobFailure("augmentation_died", f"augmentation process {process.pid} {how}{hint}")


def _reap(process: subprocess.Popen[bytes]) -> int | None:
    """The exit status of a killed process; None if it does not end in time."""
    try:
        return process.wait(KILL_SECONDS)
    except subprocess.TimeoutExpired:
        log.error("augmentation process %d was killed but has not ended; the wait for it is over", process.pid)
        return None


def _start(plan: int, memory: int) -> _Helper:
    ours, theirs = Pipe()
    files = (plan, memory, theirs.fileno())
    command = [sys.executable, "-P", "-m", "worker.training.input.pool_worker", *map(str, (os.getpid(), *files))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or str(Path.cwd()) for p in sys.path)}
    with _stops_blocked():
        process = subprocess.Popen(
            command, pass_fds=files, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
    theirs.close()
    return _Helper(process, ours)


@contextmanager
def _stops_blocked() -> Iterator[None]:
    """Processes started within this context never get SIGINT or SIGTERM. Only the parent reacts to Ctrl-C.

    The mask is inherited, so a signal cannot kill a helper while it starts.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
