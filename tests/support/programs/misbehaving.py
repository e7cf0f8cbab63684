"""A program that misbehaves in its first attempt, in the way that its argument names, and works in the next one.

The file that MARKER names shows that an attempt has begun. A chain of 20 steps saves every 5 of them.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import baton
from tests.support.programs.chain import after, await_uploads

STEPS, SAVE_EVERY = 20, 5
FOREVER = 600
PRINTED_MEBIBYTES = 100
PIECE = 16 << 20
COUNTER = "OOM_COUNTER"
"""Names a file that stands for the kernel's counter of kills, where no control group limits the memory."""


def first_attempt() -> bool:
    marker = Path(os.environ["MARKER"])
    if marker.exists():
        return False
    marker.touch()
    return True


def leave_children() -> None:
    """Start a child, and a process that has left its session and its parent."""
    sleep = f"import time; time.sleep({FOREVER})"
    subprocess.Popen([sys.executable, "-c", sleep])
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", sleep])
        os._exit(0)


def ignore_signals() -> None:
    """Ignore SIGTERM, and never call the library again."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(FOREVER)


def fill_memory() -> None:
    """Take memory until the kernel kills this process. Where it has no limit: be killed, and change the counter."""
    leave_children()
    await_uploads()
    if COUNTER in os.environ:
        Path(os.environ[COUNTER]).write_text("oom_kill 1\n")
        os.kill(os.getpid(), signal.SIGKILL)
    taken = []
    while True:
        taken.append(b"x" * PIECE)


def train_until_stopped(run: baton.Run, step: int, state: bytes) -> None:
    """Go on until the run is stopped, and then end as if all was done."""
    while True:
        state, step = after(state, step), step + 1
        run.log({"loss": state[0]}, step=step)
        if run.save_due():
            with run.save(step=step) as folder:
                (folder / "state").write_bytes(state)
        try:
            run.check()
        except baton.Stopped:
            os._exit(0)
        time.sleep(0.02)


def fill_disk() -> None:
    with Path("/dev/full").open("w") as file:
        file.write("x" * 100_000)


def exceed_limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    bytearray(1 << 31)


def print_much() -> None:
    for _ in range(PRINTED_MEBIBYTES << 4):
        print("x" * ((1 << 16) - 1))
    print("the last line")


WAYS: dict[str, Callable[[], object]] = {
    "ignores-signals": ignore_signals,
    "hangs": lambda: time.sleep(FOREVER),
    "fills-the-disk": fill_disk,
    "runs-out-of-memory": exceed_limit,
    "fills-the-memory": fill_memory,
    "is-killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "leaves-children": leave_children,
    "prints": print_much,
}


def misbehave(how: str, run: baton.Run, step: int, state: bytes) -> None:
    if how == "exits-0-when-stopped":
        train_until_stopped(run, step, state)
    elif how in WAYS:
        WAYS[how]()


def main(how: str) -> None:
    first = first_attempt()
    if how == "fails-at-import" and first:
        import nothing_of_the_kind  # noqa: F401
    run = baton.init()
    saved = run.restore()
    state, step = b"start", 0
    if saved is not None:
        state, step = (saved.folder / "state").read_bytes(), saved.step
        if len(state) != 32:
            raise ValueError(f"the state has {len(state)} bytes")
    while step < STEPS:
        state, step = after(state, step), step + 1
        run.log({"loss": state[0]}, step=step)
        if step % SAVE_EVERY == 0:
            broken = how == "saves-a-broken-state" and first and step == 2 * SAVE_EVERY
            with run.save(step=step) as folder:
                (folder / "state").write_bytes(state[:3] if broken else state)
            if first:
                await_uploads()  # a newer save may replace one that waits, and a kill may lose it
            if broken:
                sys.exit("planned to fail after the save")
        if step == 7 and first:
            misbehave(how, run, step, state)
        run.check()


if __name__ == "__main__":
    main(sys.argv[1])
