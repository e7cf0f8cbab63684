"""Starts processes of Baton by fork from a process that has imported their packages: TensorFlow alone takes seconds.

The result is a real process with its own environment, session and log. Only exec is left out; what exec does is done in
Python. `BATON_TESTS_EXEC=1` starts an interpreter for each process instead, as users do. So do the tests that say it,
and benchmarks and campaigns, which run without pytest.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import json
import os
import runpy
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from tests.support.forked import Forked, import_what_requests_import, replace_popen

ROOT = Path(__file__).resolve().parents[2]
TRAINER, TENSORFLOW = "worker.training", "tensorflow"
READ_BY_EXEC = ("PYTHON", "LD_", "MALLOC_", "TF_", "XLA_", "OMP_", "OPENBLAS_", "CUDA_", "LANG", "LC_", "COVERAGE")
"""Prefixes of the variables that are read before Baton's code runs. A process with others needs an interpreter."""
PACKAGES = "PYTHONPATH"


def start(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    *,
    session: bool = False,
    fork: bool = True,
) -> subprocess.Popen[bytes] | PreloadedProcess:
    """Start `python -m module`. Its output is appended to `log`.

    `session`: in a session and process group of its own. `fork`: False starts an interpreter.
    """
    usual = _before_imports(environment) == _before_imports(os.environ)
    if (
        not fork
        or not usual
        or _hides_packages(environment)
        or "PYTEST_VERSION" not in os.environ
        or os.environ.get("BATON_TESTS_EXEC")
    ):
        with log.open("ab") as file:
            command = [sys.executable, "-m", module, *arguments]
            return subprocess.Popen(
                command, cwd=ROOT, env=dict(environment), stdout=file, stderr=file, start_new_session=session
            )
    return _server(tensorflow=module == "worker").start(module, arguments, environment, log, session=session)


def output_of(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run `python -m module`. Returns its exit status, and all that it wrote to both streams."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "output"
        return start(module, arguments, environment, log).wait(120), log.read_text()


def _before_imports(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_BY_EXEC) and name != PACKAGES}


def _hides_packages(environment: Mapping[str, str]) -> bool:
    """Whether a folder of PYTHONPATH has a package of the same name as one that may be imported already."""
    folders = [Path(one) for one in environment.get(PACKAGES, "").split(os.pathsep) if one and Path(one) != ROOT]
    names = {entry.stem for folder in folders if folder.is_dir() for entry in folder.iterdir()}
    return any(name.isidentifier() and find_spec(name) is not None for name in names)


@dataclass
class PreloadedProcess:
    """A started process, with the part of the interface of `subprocess.Popen` that tests use."""

    pid: int
    returncode: int | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def poll(self) -> int | None:
        """The exit status as Popen gives it, or None while the process runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit status. Raises subprocess.TimeoutExpired."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def ended(self, status: int) -> None:
        """The server has seen its end."""
        self.returncode = status
        self._ended.set()


class _Server:
    """The process that forks, as the tests see it. Its end is the end of all that it started."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.preloaded", *arguments],
            cwd=ROOT,
            env={**os.environ, PACKAGES: str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()
        self._running: dict[int, PreloadedProcess] = {}
        self._started = threading.Condition()
        self._newest: PreloadedProcess | None = None
        threading.Thread(target=self._read, name="preloaded", daemon=True).start()
        atexit.register(self.close)

    def start(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path, *, session: bool
    ) -> PreloadedProcess:
        order = {
            "module": module,
            "arguments": list(arguments),
            "environment": dict(environment),
            "log": str(log),
            "session": session,
        }
        assert self._process.stdin is not None
        with self._lock, self._started:
            self._newest = None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            self._started.wait_for(lambda: self._newest is not None or self._process.poll() is not None)
            if self._newest is None:
                raise RuntimeError("the process that forks has ended; see the output of the tests")
            return self._newest

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "status" in said:
                self._running.pop(said["pid"]).ended(said["status"])
                continue
            with self._started:
                self._newest = self._running[said["pid"]] = PreloadedProcess(said["pid"])
                self._started.notify_all()
        self._process.wait()
        with self._started:
            self._started.notify_all()


_servers: dict[bool, _Server] = {}


def _server(*, tensorflow: bool) -> _Server:
    """One with TensorFlow for workers, and a small one for all else."""
    if tensorflow not in _servers:
        _servers[tensorflow] = _Server(*([TENSORFLOW] if tensorflow else []))
    return _servers[tensorflow]


# --- the process that forks ---


def main() -> None:
    """Fork a process for each order until the input ends. In a forked process, it returns when that process ends."""
    import_everything(tensorflow=TENSORFLOW in sys.argv)
    order = _serve()
    if order is not None:
        if not hasattr(sys.modules.get(order["module"]), "__path__"):
            sys.modules.pop(order["module"], None)  # runpy warns of a module that was imported before
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


def import_everything(*, tensorflow: bool) -> None:
    """Import what workers and services import."""
    import importlib

    modules = ["worker.__main__", "service.__main__", "google.cloud.storage", "baton.storage.gcs", "safetensors.numpy"]
    if tensorflow:
        from worker.training.environment import configure

        configure(threads=1)  # each training process sets its own number before TensorFlow starts
        modules += ["worker.training.loop", "worker.training.augmentation", "cv2", "h5py", "sklearn.datasets"]
    for name in modules:
        importlib.import_module(name)
        if name.endswith("__main__"):
            del sys.modules[name]  # it is run as a program, with all that it has imported
    import_what_requests_import()
    gc.collect()
    gc.freeze()  # freeze the objects that exist now: their pages stay shared


def _serve() -> dict[str, Any] | None:
    """Returns the order in a forked process, and None in this one after the end of the input."""
    running: set[int] = set()
    woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    unread = b""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                chunk = os.read(key.fd, 65536)
                if key.fd == woken:
                    _report_ends(running)
                    continue
                if not chunk:
                    for pid in running:
                        os.kill(pid, signal.SIGKILL)
                    return None
                *lines, unread = (unread + chunk).split(b"\n")
                for line in lines:
                    order = json.loads(line)
                    pid = _fork(order)
                    if pid == 0:
                        return dict(order)
                    running.add(pid)
                    print(json.dumps({"pid": pid}), flush=True)


def _report_ends(running: set[int]) -> None:
    for pid in list(running):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            running.remove(pid)
            print(json.dumps({"pid": pid, "status": os.waitstatus_to_exitcode(status)}), flush=True)


def _fork(order: dict[str, Any]) -> int:
    """The process id, or 0 in the forked process, which then is what exec would have made it."""
    ready, settled = os.pipe()
    pid = os.fork()
    if pid:
        os.close(settled)
        os.read(ready, 1)
        os.close(ready)
        return pid
    if order["session"]:
        os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number, file in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(file, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # the end of `settled` tells the parent that all is ready
    os.environ.clear()
    os.environ.update(order["environment"])
    folders = os.environ.get(PACKAGES, "").split(os.pathsep)
    sys.path[:0] = [folder for folder in folders if folder and folder not in sys.path]
    sys.argv = [order["module"], *order["arguments"]]
    if order["module"] == "worker":
        fork_training_processes()
    return 0


def fork_training_processes() -> None:
    """Training processes are forks of the worker. The processes of programs are started as usual: they are small."""

    def popen(command: list[str], **options: Any) -> Any:
        if command[2] != TRAINER:
            return subprocess.Popen(command, **options)
        return Forked([*command[:2], "tests.support.preloaded", *command[3:]], **options)

    replace_popen(popen)


def run() -> NoReturn:
    """What `python -m worker.training` does, in a fork of the worker."""
    from worker.attempt.process import serve
    from worker.training.process import tensorflow

    faulthandler.enable()
    serve(tensorflow)


if __name__ == "__main__":
    main()
