"""Why a program ended: the reason, and a message with the last lines of its output."""

from __future__ import annotations

import os
import re
import signal
import stat
from pathlib import Path

from baton.domain.reasons import Reason
from worker.attempt.failures import ProgramFailure
from worker.failure_texts import KERNEL_KILLED
from worker.programs.child import Ended

TAIL_BYTES = 64 << 10
MAX_LINES, MAX_TEXT = 30, 6_000
"""The part of the output that becomes the message."""
SHELL_SIGNAL = 128
"""A shell ends with 128 plus the number of the signal that ended its program."""

_OWN_LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ worker\.")
"""A line of this worker's own log, which goes to the same file."""
_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'^ {2,}File "(?P<file>[^"]*)", line (?P<line>\d+), in (?P<name>.*)$')
_ERROR = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?::|$)")
_MEMORY = re.compile(r"^MemoryError\b|OutOfMemoryError|CUDA out of memory|RESOURCE_EXHAUSTED|std::bad_alloc")
_DISK = re.compile(r"No space left on device|Disk quota exceeded")


class OutputTail:
    """The output of a program, which goes to the standard error of this process: the log of the attempt, a file."""

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._begin = self.size

    @property
    def size(self) -> int:
        """Bytes in the file; 0 if the output goes elsewhere. It shrinks when the worker truncates a long log."""
        found = os.fstat(self._descriptor)
        return found.st_size if stat.S_ISREG(found.st_mode) else 0

    def text(self) -> str:
        """The last TAIL_BYTES of what was written since this object was created."""
        size = self.size
        begin = max(self._begin if self._begin <= size else 0, size - TAIL_BYTES)
        try:
            return os.pread(self._descriptor, size - begin, begin).decode(errors="replace")
        except OSError:
            return ""  # open for writing only


def failure_of(ended: Ended, output: str, *, memory_ran_out: bool) -> ProgramFailure:
    """The failure of a program that did not end well. `memory_ran_out`: the kernel has killed a process meanwhile."""
    if ended.error:
        return ProgramFailure(Reason.UNSUPPORTED, f"the program cannot be started: {ended.error}", None)
    lines = last_lines(output)
    text = "\n".join([f"the program ended with {_how(ended.status)}", *lines])
    reason = _reason(ended.status, lines, memory_ran_out=memory_ran_out)
    if reason is Reason.OUT_OF_MEMORY and memory_ran_out:
        text = f"{KERNEL_KILLED}\n{text}"
    return ProgramFailure(reason, text, fault_in(lines) or _how(ended.status))


def last_lines(output: str) -> list[str]:
    """The last traceback and what follows it, or the last lines without one. At most MAX_LINES."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip() and not _OWN_LINE.match(line)]
    begins = [number for number, line in enumerate(lines) if line.startswith(_TRACEBACK)]
    if begins:
        lines = lines[begins[-1] :]
    kept = lines[-MAX_LINES:]
    while len(kept) > 1 and sum(len(line) for line in kept) > MAX_TEXT:
        kept.pop(0)
    return [line[-MAX_TEXT:] for line in kept]


def fault_in(lines: list[str]) -> str | None:
    """The type of the exception and where it was raised: equal for equal failures. None without a traceback."""
    if _TRACEBACK not in lines and not any(_FRAME.match(line) for line in lines):
        return None
    frames = [match for line in lines if (match := _FRAME.match(line))]
    errors = [match["type"] for line in lines if not line.startswith(" ") and (match := _ERROR.match(line))]
    place = f" in {Path(frames[-1]['file']).name}:{frames[-1]['line']} {frames[-1]['name']}" if frames else ""
    return f"{errors[-1]}{place}" if errors and errors[-1] != "Traceback" else None


def _how(status: int | None) -> str:
    if status is None:
        return "its guard, which was killed"
    if status < 0:
        known = -status in {one.value for one in signal.Signals}  # not all real-time signals
        return f"signal {signal.Signals(-status).name if known else -status}"
    return f"exit status {status}"


def _reason(status: int | None, lines: list[str], *, memory_ran_out: bool) -> Reason:
    if status in (None, -signal.SIGKILL, SHELL_SIGNAL + signal.SIGKILL) and memory_ran_out:
        return Reason.OUT_OF_MEMORY
    text = "\n".join(lines[-3:])
    if any(_MEMORY.search(line) for line in lines[-3:]):
        return Reason.OUT_OF_MEMORY
    if _DISK.search(text):
        return Reason.DISK_FULL
    return Reason.PROCESS_DIED if status is None or status < 0 else Reason.EXCEPTION
