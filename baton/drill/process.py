"""One process of a run under drill, in a process group of its own, from its start to its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baton.drill.program import DrillError, Program, RunFolder
from baton.program.drill.plan import KILL, PAUSE, TERM, Act, Plan
from baton.program.protocol import EXIT_STOPPED
from baton.system import parent_death

_POLL_SECONDS = 0.02
_LAST_LINES = 15


@dataclass(frozen=True)
class Limits:
    """`stall`: seconds without a call of the library. `timeout`: seconds of the whole drill, from `began` on.
    `pause`: seconds for which a pause lasts.
    """

    stall: float = 900.0
    timeout: float = 86400.0
    pause: float = 2.0
    began: float = 0.0


@dataclass(frozen=True)
class Attempt:
    """A process that has ended. `status`: as of subprocess. `events`: its trace. `log`: the file with its output."""

    number: int
    status: int
    events: tuple[dict[str, Any], ...]
    log: Path
    seconds: float
    moved: bool = False

    @property
    def acts(self) -> list[Act]:
        """The interruptions that have happened."""
        names = ("unit", "count", "point", "do")
        return [Act(**{name: one[name] for name in names}) for one in self.events if one["kind"] == "act"]

    @property
    def stopped(self) -> bool:
        """Whether the program was told to stop and has been told that it is saved."""
        return any(one["kind"] == "stopped" for one in self.events)

    @property
    def killed(self) -> bool:
        """Whether a signal of the drill has ended it. A program without a handler also dies of a SIGTERM."""
        own = {-int(signal.SIGKILL): KILL, -int(signal.SIGTERM): TERM}
        return self.status in own and any(act.do == own[self.status] for act in self.acts)

    @property
    def finished(self) -> bool:
        """Whether the program has come to its end."""
        return self.status == 0 and not self.stopped

    @property
    def failed(self) -> bool:
        """Whether the program has ended with an error."""
        return not (self.killed or self.finished or (self.stopped and self.status in (0, EXIT_STOPPED)))

    def last_words(self) -> str:
        """The last lines of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:])


def run_attempt(
    program: Program,
    folder: RunFolder,
    number: int,
    plan: Plan,
    limits: Limits,
    tell: Callable[[dict[str, Any]], None],
) -> Attempt:
    """Starts the program and waits until it has ended. `tell`: gets the counts while it runs.

    Raises:
        DrillError: it cannot be started, or it exceeded a limit. All its processes are killed.
    """
    trace = Path(plan.trace)
    file, log = folder.root / f"plan-{number}.json", folder.root / f"log-{number}.txt"
    plan.write(file)
    began = time.monotonic()
    with log.open("wb") as out, _started(program, folder, file, out) as process:
        _watch(process, trace, limits, tell, plan.acts)
    ended = time.monotonic() - began
    return Attempt(number, process.returncode, tuple(read_trace(trace)), log, ended)


@contextmanager
def _started(program: Program, folder: RunFolder, plan: Path, out: Any) -> Iterator[subprocess.Popen[bytes]]:
    tied = [sys.executable, "-I", parent_death.__file__, str(os.getpid())]
    try:
        process = subprocess.Popen(
            [*tied, *program.command],
            cwd=folder.code / program.working_directory,
            env=program.environment(folder, plan),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise DrillError(f"the program cannot be started: {error}") from error
    try:
        yield process
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # also what the program has left behind
        process.wait()


def _watch(
    process: subprocess.Popen[bytes],
    trace: Path,
    limits: Limits,
    tell: Callable[[dict[str, Any]], None],
    acts: Sequence[Act],
) -> None:
    live, seen, alive_at = Path(f"{trace}.live"), b"", time.monotonic()
    pausing = _Pausing(process, trace, limits.pause) if any(act.do == PAUSE for act in acts) else None
    while process.poll() is None:
        now, sign = time.monotonic(), _read(live) + str(_size(trace)).encode()
        if sign != seen:
            seen, alive_at = sign, now
            with suppress(ValueError):
                tell(json.loads(_read(live) or b"{}"))
        if now - alive_at > limits.stall:
            raise DrillError(f"the program made no call of its run for {limits.stall:g} s: --stall sets the limit")
        if now - limits.began > limits.timeout:
            raise DrillError(f"the drill took longer than {limits.timeout:g} s: --timeout sets the limit")
        if pausing is not None:
            pausing.look(now)
        time.sleep(_POLL_SECONDS)


class _Pausing:
    """Lets a process group go on some time after it has paused itself."""

    def __init__(self, process: subprocess.Popen[bytes], trace: Path, seconds: float) -> None:
        self._process, self._trace, self._seconds = process, trace, seconds
        self._size = 0
        self._paused_at: float | None = None

    def look(self, now: float) -> None:
        """Sends SIGCONT if the time is over, and again until the process says that it goes on."""
        if (size := _size(self._trace)) != self._size:
            self._size = size
            self._paused_at = now if _is_paused(self._trace) else None
        if self._paused_at is not None and now - self._paused_at > self._seconds:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGCONT)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _read(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""


def _is_paused(trace: Path) -> bool:
    kinds = [one["kind"] for one in read_trace(trace) if one["kind"] == "continued" or one.get("do") == PAUSE]
    return bool(kinds) and kinds[-1] == "act"


def read_trace(file: Path) -> list[dict[str, Any]]:
    """The events of a trace. A last line that is not complete is left out."""
    lines = _read(file).split(b"\n")[:-1]
    return [json.loads(line) for line in lines]
