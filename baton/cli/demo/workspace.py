"""The demo's directory, made anew each time, and the `baton up` that runs in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from baton.cli.demo.stack_processes import processes_of
from baton.client.connection import Connection, read_connection
from baton.local.child_process import Child, ChildSpec, describe_end
from baton.local.data_directory import DataDirectory
from baton.local.errors import StackError
from baton.local.programs import child_environment

MARKER = ".baton-demo"
START, STOP = 150.0, 60.0
LEASE_SECONDS, HEARTBEAT_SECONDS = 6, 2


def fresh_directory(path: Path) -> Path:
    """An empty directory at `path`; what an earlier demo left there goes, anything else is refused.

    Raises:
        StackError: it holds something that is not a demo's.
        Occupied: another demo runs there.
    """
    root = path.absolute()
    if root.exists() and any(root.iterdir()):
        if not (root / MARKER).exists():
            raise StackError(f"{root} holds something that no demo wrote: choose another directory with --data")
        _require_idle(root)
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / MARKER).touch()
    return root


def _require_idle(root: Path) -> None:
    data = DataDirectory(root / "stack")
    if data.root.exists():
        with data.locked():
            pass


class DemoStack:
    """A running `baton up` of the demo's own."""

    def __init__(self, root: Path) -> None:
        self.data = root / "stack"
        command = (sys.executable, "-m", "baton.cli", "up", "--data", str(self.data), "--port", "0")
        spec = ChildSpec("baton up", command, _environment(root), root / "baton-up.log", STOP)
        self.child = Child(spec)

    def start(self) -> Connection:
        """Returns when it is ready.

        Raises:
            StackError: it is not, with what it said.
        """
        self.child.start(time.monotonic())
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            if connection := read_connection(self.data):
                return connection
            if self.child.ended is not None:
                raise StackError(f"`baton up` {describe_end(self.child.ended)}:\n{self.child.last_words()}")
            time.sleep(0.1)
        raise StackError(f"`baton up` was not ready after {START:g} s:\n{self.child.last_words()}")

    def kill_worker(self) -> int:
        """SIGKILL to the worker's whole process group; returns the process id that is gone."""
        pid = int(json.loads((self.data / "processes.json").read_text())["worker-1"])
        os.killpg(pid, signal.SIGKILL)
        return pid

    def stop(self) -> None:
        """Ends it as Ctrl-C does, or harder where that takes too long."""
        self.child.ask_to_stop()
        if self.child.process is not None:
            deadline = time.monotonic() + STOP
            while self.child.ended is None and time.monotonic() < deadline:
                time.sleep(0.05)
        self.child.kill()

    def left_behind(self) -> list[str]:
        """Processes of this stack that are still there."""
        return processes_of(self.data)


@contextmanager
def running(stack: DemoStack) -> Iterator[Connection]:
    """The stack, stopped at the end however that comes."""
    try:
        yield stack.start()
    finally:
        stack.stop()


def _environment(root: Path) -> Mapping[str, str]:
    # Settings of the user's own fleet must not reach a demo; a short lease makes the recovery quick to watch.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    return {
        **child_environment(inherited),
        "BATON_LEASE_SECONDS": str(LEASE_SECONDS),
        "BATON_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
        "BATON_CACHE": str(root / "cache"),
    }
