"""At a named point of training, sends a signal to its own process, hangs or fails. It can also make writes fail.

Production code does not refer to this module.
"""

from __future__ import annotations

import errno
import functools
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

_When = Callable[..., bool]
STALL, DISK_FULL, PROGRAM = "STALL", "DISK_FULL", "PROGRAM"
FILES_FAIL, STORE_FULL = "files fail", "store full"
"""Faults of one process.

FILES_FAIL: no file can be published before training ends. STORE_FULL: the store is full for a while.
"""

FULL_FROM, FULL_FOR = 4, 4
"""The number of the first write, from 1, that fails in a full store, and the number of writes that fail."""


@dataclass(frozen=True)
class Shot:
    """A signal that is sent when a point is reached for the `nth` time, from 1, since the process start or the last
    shot.

    `signal`: the name of a signal. STALL: the thread that reaches the point never returns from it. DISK_FULL: the point
    raises the error of a full disk. PROGRAM: the program below this process gets SIGKILL, not this process.
    """

    point: str
    nth: int
    signal: str


@dataclass(frozen=True)
class Place:
    """A function of the training process: its module, and the points at which it begins and ends."""

    module: str
    name: str
    before: str | None = None
    after: str | None = None
    when: _When = lambda *_args, **_named: True


def _best_file(*args: Any, **_named: Any) -> bool:
    """Whether a call that publishes or commits a file is about best.keras."""
    return any(getattr(word, "name", None) == "best.keras" for word in args)


HALF_WRITTEN = "half-written.bin"
"""The file that tests/support/programs/chain.py publishes while it writes the files of a save."""


def _half_written(_session: Any, request: Any) -> bool:
    return bool(request.name == HALF_WRITTEN)


_LOOP, _ENGINE, _CLIENT = (
    "worker.training.loop:TrainingLoop",
    "worker.training.step.engine:Engine",
    "worker.api_client.client:ServiceClient",
)
PLACES = (
    Place(_CLIENT, "claim", after="claimed"),
    Place("worker.attempt.restore:Restore", "_read", "before reading a checkpoint", "after reading a checkpoint"),
    Place(_LOOP, "_resume", "before loading the state", "after loading the state"),
    Place(_ENGINE, "train_step", "before a step", "after a step"),
    Place(_ENGINE, "arrays", "host copy", "after the host copy"),
    Place("worker.checkpointing.checkpoint_files", "dump_arrays", "serialisation", "after serialisation"),
    Place("worker.checkpointing.checkpoint_files", "_write", after="after a payload file"),
    Place("worker.checkpointing.checkpoint_files", "_write_manifest", "before the manifest", "after the manifest"),
    Place(_CLIENT, "commit_checkpoint", "before the commit", "after the commit"),
    Place(_LOOP, "_validate", "validation", "after validation"),
    Place(_LOOP, "_end_epoch", after="after an epoch"),
    Place(_CLIENT, "record_epoch", "before an epoch record", "after an epoch record"),
    Place("worker.checkpointing.sender:Sender", "publish", "before writing best.keras", when=_best_file),
    Place(_CLIENT, "commit_artifact", "before committing best.keras", "after committing best.keras", _best_file),
    Place(_LOOP, "_enter", "before entering a stage", "after entering a stage"),
    Place("worker.attempt.context", "read_checkpoint", "before reading the best", "after reading the best"),
    Place(_LOOP, "_finish", "before the end"),
    Place("worker.training.loop", "evaluate_splits", "evaluation", "after evaluation"),
    Place(_CLIENT, "finish", "before finishing", "after finishing"),
)
_FILES = "worker.checkpointing.checkpoint_files"
PROGRAM_PLACES = (
    Place(_CLIENT, "claim", after="claimed"),
    Place("worker.checkpointing.saved_folder:_File", "fetch", "before restoring a file", "after restoring a file"),
    Place(_CLIENT, "rollback_series", "before the rollback", "after the rollback"),
    Place(_CLIENT, "rollback_history", after="after the rollback of rows"),
    Place("worker.programs.session:ProgramSession", "_publish", before="while writing files", when=_half_written),
    Place("worker.programs.session:ProgramSession", "_take", "before taking a save", "after taking a save"),
    Place("baton.storage.checksum:Crc32c", "update", after="while hashing"),
    Place(_FILES, "_write", "before uploading a file", "after uploading a file"),
    Place(_FILES, "_write_manifest", "before the manifest", "after the manifest"),
    Place(_CLIENT, "series", "before sending series", "after sending series"),
    Place(_CLIENT, "commit_checkpoint", "before the commit", "after the commit"),
    Place(_CLIENT, "record_epoch", "before an epoch record", "after an epoch record"),
    Place(_CLIENT, "finish", "before finishing", "after finishing"),
)
"""The same for the process that runs a program."""
POINTS, PROGRAM_POINTS = (
    tuple(point for place in places for point in (place.before, place.after) if point)
    for places in (PLACES, PROGRAM_PLACES)
)


class FaultPoints:
    """Counts the points that this process reaches, and fires its shots in order. It calls `tell` before each shot."""

    def __init__(self, shots: tuple[Shot, ...], tell: Callable[[Shot], None]) -> None:
        self._shots, self._tell = deque(shots), tell
        self._reached: Counter[str] = Counter()
        self._lock = threading.Lock()

    def reach(self, point: str) -> None:
        """Call this when a point is reached, from any thread."""
        with self._lock:
            self._reached[point] += 1
            shot = self._shots[0] if self._shots else None
            if shot is None or (shot.point, shot.nth) != (point, self._reached[point]):
                return
            self._shots.popleft()
            self._reached.clear()
        self._tell(shot)
        if shot.signal == STALL:
            threading.Event().wait()
        if shot.signal == DISK_FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if shot.signal == PROGRAM:
            _kill_the_program()
        else:
            os.kill(os.getpid(), signal.Signals[shot.signal])


def _kill_the_program() -> None:
    """Kill the child of the guard, if it still runs."""
    for guard in _children(os.getpid()):
        for program in _children(guard):
            os.kill(program, signal.SIGKILL)


def _children(pid: int) -> Iterator[int]:
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from (int(child) for child in file.read_text().split())


def install(fault_points: FaultPoints, fault: str = "", places: Sequence[Place] = PLACES) -> None:
    """Wrap every one of the places in this process and add a fault. The modules must not be in use yet."""
    if fault == FILES_FAIL:
        _fail_files()
    elif fault == STORE_FULL:
        _fill_the_store()
    for place in places:
        owner = _owner(place.module)
        setattr(owner, place.name, _wrapped(getattr(owner, place.name), place, fault_points))


def _fail_files() -> None:
    from worker.checkpointing.sender import File, Sender
    from worker.training.loop import TrainingLoop

    publish, finish, at_the_end = Sender.publish, TrainingLoop._finish, threading.Event()

    def fails(self: Sender, file: File) -> None:
        if not at_the_end.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)
        publish(self, file)

    def finishes(self: TrainingLoop) -> dict[str, float]:
        at_the_end.set()
        return finish(self)

    Sender.publish = fails  # type: ignore[method-assign]
    TrainingLoop._finish = finishes  # type: ignore[method-assign]


def _fill_the_store() -> None:
    from baton.storage import directory

    write, writes = directory.write_all, count(1)

    def fails(fd: int, data: bytes) -> None:
        if 0 <= next(writes) - FULL_FROM < FULL_FOR:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(fd, data)

    directory.write_all = fails


def find_places() -> None:
    """Raises AttributeError if the process of an attempt has no such function any more.

    So the error comes once, not in each child.
    """
    for place in (*PLACES, *PROGRAM_PLACES):
        getattr(_owner(place.module), place.name)


def _owner(path: str) -> Any:
    import importlib

    module, _, name = path.partition(":")
    found = importlib.import_module(module)
    return getattr(found, name) if name else found


def _wrapped(inner: Callable[..., Any], place: Place, fault_points: FaultPoints) -> Callable[..., Any]:
    @functools.wraps(inner)
    def call(*args: Any, **named: Any) -> Any:
        meant = place.when(*args, **named)
        if meant and place.before:
            fault_points.reach(place.before)
        result = inner(*args, **named)
        if meant and place.after:
            fault_points.reach(place.after)
        return result

    return call
