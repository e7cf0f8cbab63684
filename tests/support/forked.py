"""A replacement of `subprocess.Popen` that forks instead of starting an interpreter: milliseconds instead of a second.

The result is a child of the caller in the caller's process group, as with Popen: it can be killed, stopped and waited
for, and its parent-death signal works. Only exec is left out. The effects of exec are done in Python: signal handlers
are reset, and all files are closed except those that are passed on.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from types import SimpleNamespace
from typing import IO, NoReturn

from baton.system.parent_death import PR_SET_PDEATHSIG

# Look the function up here, because a look-up in the fork would need the loader's lock.
_PRCTL = ctypes.CDLL(None).prctl
_TAKEN = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2)


def replace_popen(popen: Callable[..., object]) -> None:
    """Let the worker start its training processes by this function instead of `subprocess.Popen`."""
    import worker.supervisor.process

    names = {name: getattr(subprocess, name) for name in dir(subprocess) if not name.startswith("__")}
    vars(worker.supervisor.process)["subprocess"] = SimpleNamespace(**{**names, "Popen": popen})


def import_what_requests_import() -> None:
    """Import what threads would import later.

    A child that is forked during an import inherits the module's lock and hangs.
    """
    import httpx

    import baton.storage.directory  # noqa: F401

    with suppress(httpx.ConnectError):
        httpx.get("http://127.0.0.1:1")  # httpx imports its transport at the first request


class Forked:
    """`[python, -m, module, *arguments]` in a fork of this process. `run` in the module does the work."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        pass_fds: Sequence[int],
        text: bool,
        env: Mapping[str, str],
    ) -> None:
        if stdin != subprocess.PIPE or not text or command[1] != "-m":
            raise ValueError(f"cannot fork for {command}")
        reading, writing = os.pipe()
        entry: Callable[[], NoReturn] = importlib.import_module(command[2]).run
        parent, old = os.getpid(), signal.pthread_sigmask(signal.SIG_BLOCK, _TAKEN)
        self.pid, self.returncode = os.fork(), None  # type: int, int | None
        if self.pid == 0:
            # First in the child: later calls may wait forever for a lock that a thread of the parent held at the fork.
            _PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            os.environ.update(env)
            _become(entry, list(command[2:]), (reading, stdout, stderr), pass_fds)
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
        os.close(reading)
        self.stdin: IO[str] | None = os.fdopen(writing, "w")

    def poll(self) -> int | None:
        """The exit status as Popen gives it, or None while the process runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit status. Raises subprocess.TimeoutExpired."""
        give_up = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if give_up is not None and time.monotonic() > give_up:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(0.01)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _become(
    entry: Callable[[], NoReturn], argv: list[str], standard: tuple[int, int, int], pass_fds: Sequence[int]
) -> NoReturn:
    try:
        gc.freeze()  # objects of the parent must not close files of the child when they are collected
        for number in _TAKEN:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        for number, file in enumerate(standard):
            os.dup2(file, number)
        _close_all_but({0, 1, 2, *pass_fds})
        sys.stdin, sys.argv = os.fdopen(0), argv
        sys.stdout.reconfigure(write_through=True)  # like PYTHONUNBUFFERED
        entry()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(70)


def _close_all_but(kept: set[int]) -> None:
    ends = [*sorted(kept), os.sysconf("SC_OPEN_MAX")]
    for last, following in pairwise(ends):
        if last + 1 < following:  # closerange with an empty range would close all files
            os.closerange(last + 1, following)
