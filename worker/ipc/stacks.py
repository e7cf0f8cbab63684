"""The stacks of a process that makes no progress: from Python, from the kernel and from a debugger."""

from __future__ import annotations

import faulthandler
import logging
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

SIGNAL = signal.SIGUSR2
PYTHON_SECONDS, QUIET_SECONDS = 3.0, 0.3
"""Time limit for the Python stacks, and the pause in the output after which they count as complete."""
NATIVE_SECONDS = 20.0
MAX_THREADS, MAX_CHILDREN = 200, 8
MAX_NATIVE_BYTES = 200_000
_FRAME = re.compile(r'^  File "(?P<file>[^"]*)", line (?P<line>\d+) in (?P<name>.*)$')
_DEBUGGERS = (
    ("py-spy", "dump", "--native", "--pid"),
    ("eu-stack", "-p"),
    ("gdb", "-batch", "-ex", "thread apply all bt 40", "-p"),
)
log = logging.getLogger(__name__)


def listen() -> None:
    """From now on SIGUSR2 makes this process write the Python stacks of all threads to its standard error.

    A C signal handler writes them, because it needs neither the interpreter's lock nor a free thread.
    """
    faulthandler.register(SIGNAL, all_threads=True, chain=False)


def write_stacks(pid: int, children: Sequence[int], output: int, read: Callable[[int], bytes], size: int) -> str:
    """Writes the stacks of a process to the file `output`, which is its own log, in bounded time.

    `read`: returns the bytes of that log from an offset. `size`: its current size in bytes. `children`: child processes
    of the process. Returns the innermost Python frame of the main thread; empty if unknown. Never raises.
    """
    try:
        _write(output, f"--- stalled: the stacks of process {pid} follow\n".encode())
        text = _python_stacks(pid, read, size)
        end = size + len(text)
        for one in children[:MAX_CHILDREN]:  # a program that called baton.init() listens too
            end += len(_python_stacks(one, read, end))
        for one in (pid, *children):
            _write(output, kernel_state(one).encode())
        _write(output, native_stacks(pid))
        _write(output, b"--- end of the stacks\n")
        return innermost(text.decode(errors="replace"))
    except Exception as error:
        log.warning("the stacks of process %d could not be written: %s", pid, error)
        return ""


def _python_stacks(pid: int, read: Callable[[int], bytes], size: int) -> bytes:
    if not _catches(pid):
        return b""  # without a handler the signal would end the process before the other stacks are written
    os.kill(pid, SIGNAL)
    give_up, grown, text = time.monotonic() + PYTHON_SECONDS, time.monotonic(), b""
    while (now := time.monotonic()) < give_up:
        if len(more := read(size)) > len(text):
            text, grown = more, now
        if b"most recent call first" in text and now - grown > QUIET_SECONDS:
            break
        time.sleep(0.05)
    return text


def _catches(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return not Path("/proc/self/status").exists()  # no /proc, as on macOS: assume that it called `listen`
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(caught and int(caught[1], 16) >> (SIGNAL - 1) & 1)


def innermost(text: str) -> str:
    """The innermost frame of the main thread in faulthandler's output, which lists the main thread last."""
    threads = text.split("(most recent call first):")[1:]
    frames = [match for line in (threads[-1].splitlines() if threads else ()) if (match := _FRAME.match(line))]
    return f"{frames[0]['name']} ({Path(frames[0]['file']).name}:{frames[0]['line']})" if frames else ""


def kernel_state(pid: int) -> str:
    """Name, state, kernel function and system call of each thread; empty if the system has no /proc."""
    lines: list[str] = []
    tasks: list[Path] = []
    with suppress(OSError):
        tasks = sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
    for task in tasks[:MAX_THREADS]:
        state = re.search(r"^State:\s*(.*)$", _text(task / "status"), re.MULTILINE)
        parts = [_text(task / "comm").strip(), state[1] if state else "gone"]
        parts += [f"{name} {text}" for name in ("wchan", "syscall") if (text := _text(task / name).strip())]
        lines.append(f"process {pid} thread {task.name}: {', '.join(parts)}\n")
    if len(tasks) > MAX_THREADS:
        lines.append(f"process {pid}: {len(tasks) - MAX_THREADS} more threads\n")
    return "".join(lines)


def native_stacks(pid: int) -> bytes:
    """The native stacks from the first installed debugger that succeeds; empty without one."""
    for command in _DEBUGGERS:
        if shutil.which(command[0]) is None:
            continue
        try:
            done = subprocess.run(
                [*command, str(pid)], stdin=subprocess.DEVNULL, capture_output=True, timeout=NATIVE_SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            log.info("%s gave no native stacks: %s", command[0], error)
            continue
        return f"native stacks by {command[0]}:\n".encode() + done.stdout[:MAX_NATIVE_BYTES] + b"\n"
    return b""


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""  # not readable, or the thread has ended


def _write(output: int, text: bytes) -> None:
    while text:
        text = text[os.write(output, text) :]
