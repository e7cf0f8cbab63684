"""The stacks of a process that makes no progress, as Python, the kernel and debuggers see them."""

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
"""How long the Python stacks may take to appear, and after how long without more of them they count as whole."""
NATIVE_SECONDS = 20.0
MAX_THREADS = 200
MAX_NATIVE_BYTES = 200_000
_FRAME = re.compile(r'^  File "(?P<file>[^"]*)", line (?P<line>\d+) in (?P<name>.*)$')
_DEBUGGERS = (
    ("py-spy", "dump", "--native", "--pid"),
    ("eu-stack", "-p"),
    ("gdb", "-batch", "-ex", "thread apply all bt 40", "-p"),
)
log = logging.getLogger(__name__)


def listen() -> None:
    """From now on SIGUSR2 has this process write the Python stacks of all threads to its standard error.

    The C library's signal handler writes them: it needs neither the interpreter's lock nor a thread that is free.
    """
    faulthandler.register(SIGNAL, all_threads=True, chain=False)


def write_stacks(pid: int, children: Sequence[int], output: int, read: Callable[[int], bytes], size: int) -> str:
    """Writes all that can be found out about a process to the file `output`, its own log, in bounded time.

    `read`: the bytes of that log from a place on. `size`: its present size in bytes. `children`: processes that it has
    started. Returns the innermost Python frame of the main thread; empty if it is not known. Never raises.
    """
    try:
        _write(output, f"--- stalled: the stacks of process {pid} follow\n".encode())
        said = _python(pid, read, size)
        for one in (pid, *children):
            _write(output, kernel_state(one).encode())
        _write(output, native_stacks(pid))
        _write(output, b"--- end of the stacks\n")
        return innermost(said.decode(errors="replace"))
    except Exception as error:
        log.warning("the stacks of process %d could not be written: %s", pid, error)
        return ""


def _python(pid: int, read: Callable[[int], bytes], size: int) -> bytes:
    if not _catches(pid):
        return b""  # the signal would end it before the other stacks are written
    os.kill(pid, SIGNAL)
    give_up, grown, said = time.monotonic() + PYTHON_SECONDS, time.monotonic(), b""
    while (now := time.monotonic()) < give_up:
        if len(more := read(size)) > len(said):
            said, grown = more, now
        if b"most recent call first" in said and now - grown > QUIET_SECONDS:
            break
        time.sleep(0.05)
    return said


def _catches(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return not Path("/proc/self/status").exists()  # no /proc, as on macOS: trainers listen from their start
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(caught and int(caught[1], 16) >> (SIGNAL - 1) & 1)


def innermost(said: str) -> str:
    """The innermost frame of the main thread in what faulthandler wrote: the threads are listed newest first."""
    threads = said.split("(most recent call first):")[1:]
    frames = [match for line in (threads[-1].splitlines() if threads else ()) if (match := _FRAME.match(line))]
    return f"{frames[0]['name']} ({Path(frames[0]['file']).name}:{frames[0]['line']})" if frames else ""


def kernel_state(pid: int) -> str:
    """Name, state, kernel function and system call of each thread; empty where the system does not tell."""
    lines = []
    tasks = sorted(_entries(Path(f"/proc/{pid}/task")), key=lambda task: int(task.name))
    for task in tasks[:MAX_THREADS]:
        state = re.search(r"^State:\s*(.*)$", _text(task / "status"), re.MULTILINE)
        parts = [_text(task / "comm").strip(), state[1] if state else "gone"]
        parts += [f"{name} {text}" for name in ("wchan", "syscall") if (text := _text(task / name).strip())]
        lines.append(f"process {pid} thread {task.name}: {', '.join(parts)}\n")
    if len(tasks) > MAX_THREADS:
        lines.append(f"process {pid}: {len(tasks) - MAX_THREADS} more threads\n")
    return "".join(lines)


def native_stacks(pid: int) -> bytes:
    """The native stacks by the first debugger that is installed and succeeds; empty without one."""
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


def _entries(folder: Path) -> list[Path]:
    with suppress(OSError):
        return list(folder.iterdir())
    return []


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""  # not readable, or the thread has ended


def _write(output: int, text: bytes) -> None:
    while text:
        text = text[os.write(output, text) :]
