"""Helper processes that compute the coming batches while the current one trains, in order, in shared memory."""

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
from worker.training.input.plan import BatchPlan

# One batch under way and two ready for each process: enough to ride out an uneven step.
_SLOTS_PER_PROCESS = 3
_MEMORY_BYTES = 1 << 30
ANSWER_SECONDS = 0.5
"""After so long without an answer of a helper, and again and again, the loop looks at its orders."""
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
    """Images of any batch; those that follow it are computed ahead, over the end of the epoch too.

    Not for several threads. The thread that makes the pool must live as long as the pool: with it die the helpers.
    `waiting`: called repeatedly while a helper does not answer; what it raises ends the wait.
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
            JobFailure: augmentation_died, a helper was killed; exception, it says what went wrong in one.
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
        """Ends the helpers; they hold nothing worth an orderly end."""
        for helper in self._helpers:
            helper.requests.close()
            helper.process.kill()
        for helper in self._helpers:
            _reap(helper.process)
        self._helpers.clear()
        self._ahead.clear()

    def _request_from(self, epoch: int, batch: int) -> None:
        """Fills the free slots with the batches that follow those already asked for, or with these."""
        place = (epoch, batch)
        if self._ahead:
            place = self._plan.after(self._ahead[-1].epoch, self._ahead[-1].batch)
        while len(self._ahead) < len(self._slots):
            self._request(_Ahead(*place, self._next_slot))
            place = self._plan.after(*place)

    def _request(self, wanted: _Ahead) -> None:
        helper = self._helper_of(wanted)
        _talk(helper, lambda: helper.requests.send((wanted.epoch, wanted.batch, wanted.slot)))
        self._ahead.append(wanted)
        self._next_slot = (wanted.slot + 1) % len(self._slots)

    def _receive(self, wanted: _Ahead) -> None:
        helper = self._helper_of(wanted)
        trouble = _talk(helper, lambda: self._answer(helper))
        if trouble is not None:
            raise JobFailure("exception", f"augmentation {self._plan.policy} failed: {trouble}")

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


def _talk(helper: _Helper, call: Callable[[], str | None]) -> str | None:
    try:
        return call()
    except (EOFError, OSError):
        _died(helper.process)


def _died(process: subprocess.Popen[bytes]) -> NoReturn:
    process.kill()
    code = _reap(process)
    if code is None:
        raise JobFailure("augmentation_died", f"augmentation process {process.pid} closed its pipe and cannot be ended")
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    hint = ", perhaps for lack of memory" if code == -signal.SIGKILL else ""
    raise JobFailure("augmentation_died", f"augmentation process {process.pid} {how}{hint}")


def _reap(process: subprocess.Popen[bytes]) -> int | None:
    """The exit status of a killed process; None where the kernel does not let it go in time."""
    try:
        return process.wait(KILL_SECONDS)
    except subprocess.TimeoutExpired:
        log.error("augmentation process %d was killed and has not ended; it is left behind", process.pid)
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
    """A process started within never gets SIGINT or SIGTERM: Ctrl-C reaches all, but a stop is the parent's to decide.

    The mask is inherited, so there is no moment in which a stop could kill a helper that has yet to ignore it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
