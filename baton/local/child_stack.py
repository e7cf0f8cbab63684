"""A `baton up` as a child process, for commands that start a service of their own: `baton demo`, `baton drill`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from baton.client.connection import Connection, read_connection
from baton.local.child_process import Child, ChildSpec, describe_end
from baton.local.errors import StackError
from baton.local.programs import child_environment
from baton.local.stack_processes import processes_of

START, STOP = 150.0, 60.0
LEASE_SECONDS, HEARTBEAT_SECONDS = 6, 2


class ChildStack:
    """A `baton up` below `root`. `heartbeat`: seconds between heartbeats, which are the news about a job."""

    def __init__(self, root: Path, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self.data = root / "stack"
        command = (sys.executable, "-m", "baton.cli", "up", "--data", str(self.data), "--port", "0")
        spec = ChildSpec("baton up", command, _environment(root, heartbeat), root / "baton-up.log", STOP)
        self.child = Child(spec)

    def start(self) -> Connection:
        """Starts `baton up`, and returns when it is ready.

        Raises:
            StackError: `baton up` ended or was not ready in time. The message contains the end of its log.
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
        """Sends SIGKILL to the worker's process group. Returns the worker's process id."""
        return self.signal_worker(signal.SIGKILL)

    def signal_worker(self, number: int, *, group: bool = True) -> int:
        """Sends a signal to the worker's process group, or to the worker alone. Returns the worker's process id."""
        pid = int(json.loads((self.data / "processes.json").read_text())["worker-1"])
        (os.killpg if group else os.kill)(pid, number)
        return pid

    def stop(self) -> None:
        """Asks `baton up` to stop, as Ctrl-C does. Kills it if it has not ended after STOP seconds."""
        self.child.ask_to_stop()
        if self.child.process is not None:
            deadline = time.monotonic() + STOP
            while self.child.ended is None and time.monotonic() < deadline:
                time.sleep(0.05)
        self.child.kill()

    def left_behind(self) -> list[str]:
        """Processes of this stack that are still running."""
        return processes_of(self.data)


@contextmanager
def running(stack: ChildStack) -> Iterator[Connection]:
    """Starts the stack, and stops it at the end of the block in any case."""
    try:
        yield stack.start()
    finally:
        stack.stop()


def _environment(root: Path, heartbeat: float) -> Mapping[str, str]:
    # The user's settings for other services must not affect the demo. A short lease makes the recovery fast.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    return {
        **child_environment(inherited),
        "BATON_LEASE_SECONDS": str(LEASE_SECONDS),
        "BATON_HEARTBEAT_SECONDS": str(heartbeat),
        "BATON_CACHE": str(root / "cache"),
    }
