"""Starts training processes by fork: one process imports TensorFlow, and a child of it runs each attempt.

`python -m tests.support.zygote` reads orders as lines of JSON from its standard input, and writes a response to each
when its child has ended. Before the fork TensorFlow is only imported: it has no thread, no context and no operation.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

from tests.support.fault_points import PLACES, PROGRAM_PLACES, STALL, FaultPoints, Shot, find_places, install
from tests.support.service import ROOT
from worker.ipc.messages import KIND_FIELD
from worker.ipc.orders import order_line
from worker.ipc.progress import SharedCell
from worker.supervisor.stall_detector import MOST_BETWEEN_LOOKS, StallDetector

THREADS = 1
"""The number of threads for TensorFlow's operations in all runs that are compared. The exact results depend on it."""

DEVICES = "VIRTUAL_DEVICES"
"""An environment variable of an attempt: the number of virtual devices into which its process divides the CPU."""

SECONDS_AN_ATTEMPT = 300.0
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Ended:
    """How a training process ended. `status` is as in subprocess. `fence` is None if no attempt was claimed.

    `stalled`: the watchdog ended the process.
    """

    status: int
    fence: int | None
    fired: tuple[Shot, ...]
    stalled: bool = False


class Zygote:
    """The zygote process, as its parent sees it. It can be used from several threads."""

    def __init__(self, log: Path) -> None:
        environment, pipe = {**os.environ, "PYTHONPATH": str(ROOT)}, subprocess.PIPE
        with log.open("ab") as file:
            command = [sys.executable, "-m", "tests.support.zygote", str(os.getpid())]
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=file, text=True
            )
        self._lock = threading.Lock()
        self._open: dict[str, Future[Ended]] = {}
        threading.Thread(target=self._read, name="zygote", daemon=True).start()

    def run(
        self,
        attempt_id: str,
        environment: Mapping[str, str],
        shots: tuple[Shot, ...],
        log: Path,
        fault: str = "",
        *,
        program: bool = False,
    ) -> Ended:
        """Run one attempt in a new process until that ends. `fault`: see tests.support.fault_points.

        `program`: the process runs a program; otherwise it trains a classifier.
        """
        order = {
            "attempt_id": attempt_id,
            "environment": dict(environment),
            "shots": [asdict(shot) for shot in shots],
            "log": str(log),
            "fault": fault,
            "program": program,
        }
        assert self._process.stdin is not None
        with self._lock:
            answer = self._open[attempt_id] = Future()
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        return answer.result(SECONDS_AN_ATTEMPT)

    def close(self) -> None:
        """Kill the zygote. Its children die with it."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            fired = tuple(Shot(**shot) for shot in said["fired"])
            with self._lock:
                answer = self._open.pop(said["attempt_id"])
            answer.set_result(Ended(said["status"], said["fence"], fired, said["stalled"]))
        for answer in self._open.values():
            answer.set_exception(RuntimeError("the zygote is gone; see its log"))


@contextlib.contextmanager
def running_zygote(folder: Path) -> Iterator[Zygote]:
    """A separate zygote that is killed at the end of the block."""
    zygote = Zygote(folder / "zygote.log")
    try:
        yield zygote
    finally:
        zygote.close()


# --- the zygote process ---


@dataclass
class _Child:
    """A training process, as the zygote sees it."""

    attempt_id: str
    pid: int
    report: int
    cell: SharedCell
    said: bytes = b""
    words: list[dict[str, Any]] = field(default_factory=list)
    watchdog: StallDetector | None = None
    stalled: bool = False

    def read(self) -> bool:
        """Read messages of the child. False at the end of its pipe, which means that it has ended."""
        chunk = os.read(self.report, 65536)
        *lines, self.said = (self.said + chunk).split(b"\n")
        self.words += [json.loads(line) for line in lines]
        if any(word.get(KIND_FIELD) == "not_held" for word in self.words):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)  # otherwise it would wait for another attempt
        if self.watchdog is None and any(word.get("fired", {}).get("signal") == STALL for word in self.words):
            # From here on the clock of the watchdog advances by the largest allowed time at each look, to save real
            # time.
            self.watchdog = StallDetector(self.cell.seen, partial(next, count(step=MOST_BETWEEN_LOOKS)))
        return bool(chunk)

    def look(self) -> None:
        """Do what the worker's main process does: kill the process when it has stalled."""
        if self.watchdog is not None and not self.stalled and self.watchdog.look() is not None:
            self.stalled = True
            os.kill(self.pid, signal.SIGKILL)

    def answer(self) -> dict[str, Any]:
        """The response to the harness, after the child has ended."""
        os.close(self.report)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        fence = next((word["fence"] for word in self.words if "fence" in word), None)
        fired = [word["fired"] for word in self.words if "fired" in word]
        answer = {"attempt_id": self.attempt_id, "status": status, "fence": fence, "fired": fired}
        return {**answer, "stalled": self.stalled}


def main() -> None:
    """Fork a child for each order until the input ends."""
    from baton.system.parent_death import die_with_parent

    die_with_parent(int(sys.argv[1]))
    _import_everything()
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ, None)
        _serve(selector)


def _import_everything() -> None:
    import importlib

    from worker.training.environment import configure

    configure(THREADS)
    own = ("training.loop", "training.augmentation", "training.process", "programs.process")
    late = ("cv2", "h5py", "safetensors.numpy", "sklearn.datasets", "google.cloud.storage", "baton.storage.gcs")
    for name in (*(f"worker.{module}" for module in own), *late):
        importlib.import_module(name)
    find_places()
    gc.collect()
    gc.freeze()  # freeze the objects that exist now: their pages stay shared


def _serve(selector: selectors.BaseSelector) -> None:
    unread = b""
    while True:
        children = [key.data for key in selector.get_map().values() if key.data is not None]
        for one in children:
            one.look()
        watched = any(one.watchdog for one in children)
        for key, _ in selector.select(LOOK_SECONDS if watched else None):
            child: _Child | None = key.data
            if child is None:
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    return
                *lines, unread = (unread + chunk).split(b"\n")
                for line in lines:
                    started = _fork(json.loads(line))
                    selector.register(started.report, selectors.EVENT_READ, started)
            elif not child.read():
                selector.unregister(key.fd)
                print(json.dumps(child.answer()), flush=True)


def _fork(order: dict[str, Any]) -> _Child:
    ours, theirs = os.pipe()
    cell = SharedCell()
    zygote, pid = os.getpid(), os.fork()
    if pid == 0:
        _train(order, zygote, theirs, cell)
    os.close(theirs)
    cell.close()
    return _Child(order["attempt_id"], pid, ours, cell)


def _train(order: dict[str, Any], zygote: int, report: int, cell: SharedCell) -> NoReturn:
    """Run as `python -m worker.training` or `python -m worker.programs` does, with the fault injection."""
    try:
        _move_in(order, zygote, report, cell)
        _divide_the_cpu(int(os.environ.get(DEVICES, "1")))
        shots = tuple(Shot(**shot) for shot in order["shots"])
        points = FaultPoints(shots, lambda shot: _say(report, fired=asdict(shot)))
        install(points, order["fault"], PROGRAM_PLACES if order["program"] else PLACES)
        from worker.attempt.process import serve
        from worker.programs.process import programs
        from worker.training.process import tensorflow

        serve(programs if order["program"] else tensorflow)
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(70)


def _move_in(order: dict[str, Any], zygote: int, report: int, cell: SharedCell) -> None:
    os.environ.update(order["environment"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    # The child holds the writing end of its own orders, so its input never ends before the child does.
    orders, writing = os.pipe()
    os.write(writing, order_line(order["attempt_id"]).encode() + b"\n")
    sys.stdin = os.fdopen(orders)
    sys.argv = ["worker.training", str(zygote), str(report), str(cell.descriptor)]


def _divide_the_cpu(number: int) -> None:
    if number > 1:
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * number)


def _say(report: int, **word: Any) -> None:
    os.write(report, json.dumps(word).encode() + b"\n")


if __name__ == "__main__":
    main()
