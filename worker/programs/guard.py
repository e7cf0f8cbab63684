"""`python -m worker.programs.guard REPORT`: starts a program, and ends every process that the program started.

The guard is a child subreaper: processes that outlive their parent become its children, also those that daemonise. When
the program ends, when the worker asks for it, and when the worker dies, the guard kills all of them. It is a process of
its own, in a session of its own, because it must outlive a worker that is killed with its process group.

Standard input: one line of JSON with `command`, `folder` and `environment`, then lines with TERMINATE or KILL. Its end
means that the worker has died. REPORT: a file descriptor for one line of JSON: `error` if the program cannot be
started, else `status`, as subprocess.Popen.returncode, and `left`, the number of processes that it left behind.

It needs the standard library only, and its environment contains no secret.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from baton.system.parent_death import die_with_parent
from baton.system.process_tree import descendants

TERMINATE, KILL = "terminate", "kill"
PR_SET_CHILD_SUBREAPER = 36
LOOK_SECONDS = 0.05
SWEEP_SECONDS = 10.0
"""How long the guard tries to end processes. One that waits in the kernel does not end."""
OOM_SCORE = "500"
"""When memory runs out, the kernel ends a process of the program and not the worker."""


class Guard:
    """One program. `status`: of the program, once it has ended."""

    def __init__(self, command: list[str], folder: str, environment: dict[str, str]) -> None:
        own = os.getpid()

        def prepare() -> None:
            with suppress(OSError):
                Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
            die_with_parent(own)

        self._program = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=prepare,  # noqa: PLW1509 - the guard has one thread
        )
        self.status: int | None = None

    def reap(self) -> None:
        """Collects the processes that have ended."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._program.pid:
                    self.status = os.waitstatus_to_exitcode(ended[1])

    def terminate(self) -> None:
        """Asks the process group of the program to end."""
        with suppress(ProcessLookupError):
            os.killpg(self._program.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kills the process group of the program."""
        with suppress(ProcessLookupError):
            os.killpg(self._program.pid, signal.SIGKILL)

    def sweep(self) -> int:
        """Kills all processes that are left. Returns their number."""
        seen, give_up = set[int](), time.monotonic() + SWEEP_SECONDS
        while time.monotonic() < give_up:
            self.reap()
            left = descendants(os.getpid())
            if not left:
                break
            seen.update(left)
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(LOOK_SECONDS / 10)
        return len(seen)


def main() -> int:
    """Runs one program to its end. Exit status 0."""
    report = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    first, rest = _first_line()
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)  # the program inherits what is ignored
        guard = Guard(first["command"], first["folder"], first["environment"])
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        _report(report, error=f"{first['command'][0]}: {getattr(error, 'strerror', None) or error}")
        return 0
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    _watch(guard, rest)
    ended = guard.status is not None
    if not ended:
        guard.kill()
    left = guard.sweep()
    _report(report, status=guard.status, left=left if ended else 0)
    return 0


def _first_line() -> tuple[dict[str, Any], bytes]:
    text = b""
    while b"\n" not in text:
        if not (more := os.read(0, 1 << 16)):
            sys.exit(1)
        text += more
    line, _, rest = text.partition(b"\n")
    return json.loads(line), rest


def _watch(guard: Guard, text: bytes) -> None:
    """Obeys orders until the program has ended, the worker wants its end, or the worker has died."""
    while True:
        *lines, text = text.split(b"\n")
        for line in lines:
            if line.decode() == TERMINATE:
                guard.terminate()
            elif line.decode() == KILL:
                return
        guard.reap()
        if guard.status is not None:
            return
        if select.select([0], [], [], LOOK_SECONDS)[0]:
            if not (more := os.read(0, 1 << 16)):
                return
            text += more


def _report(descriptor: int, **values: object) -> None:
    with suppress(OSError):  # the worker has died
        os.write(descriptor, json.dumps(values).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
