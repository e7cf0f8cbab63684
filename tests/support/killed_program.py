"""A small program without a framework, and how often it dies: before the n-th of its file operations.

`python -S killed_program.py TOTAL`: trains TOTAL steps in the folder `.baton-run` of the working directory, and writes
its final state to `final`. KILL_AT: the number of the file operation of the run before which the process kills itself.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from functools import partial
from pathlib import Path

import baton

OPERATIONS = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "os.scandir", "shutil.rmtree"}


def die_before(number: int) -> None:
    """Kills this process before its file operation of this number, counted from now, from 1."""
    left, sync = number, os.fsync

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in OPERATIONS and (event != "open" or ".baton-run" in str(arguments[0])):
            count()

    def counted_sync(descriptor: int) -> None:  # fsync is no event of Python's audit
        count()
        sync(descriptor)

    sys.addaudithook(hook)
    os.fsync = counted_sync


def train(total: int) -> None:
    """A random walk whose next step depends on all steps before. Every second save is made in the background."""
    draws, weights = random.Random(0), [0.0] * 100
    with baton.init() as run:
        if saved := run.restore():
            weights = json.loads((saved.folder / "nested/weights.json").read_text())
            version, state, gauss = saved.cursor["draws"]
            draws.setstate((version, tuple(state), gauss))
        for step in range(saved.step if saved else 0, total):
            weights = [one + draws.gauss(0, 1) for one in weights]
            run.log({"loss": sum(weights), "first": weights[0]}, step=step)
            done = step + 1
            if done % 5 == 0:
                late = {"late": 1.0} if done > 5 else {}
                run.epoch({"mean": sum(weights) / 100, **late}, epoch=done // 5, step=done)
            if done % 2 == 0 and run.save_due():
                cursor = {"draws": draws.getstate()}
                if done % 4 == 0:
                    run.save_in_background(step=done, cursor=cursor, write=partial(write, copied=list(weights)))
                else:
                    with run.save(step=done, cursor=cursor) as folder:
                        write(folder, weights)
            run.check()
    Path("final").write_text(json.dumps(weights))


def write(folder: Path, copied: list[float]) -> None:
    """The files of a save."""
    (folder / "nested").mkdir()
    (folder / "nested/weights.json").write_text(json.dumps(copied))


if __name__ == "__main__":
    if "KILL_AT" in os.environ:
        die_before(int(os.environ["KILL_AT"]))
    train(int(sys.argv[1]))
