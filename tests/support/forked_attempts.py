"""A program with an adapter that is killed, and programs under drawn schedules, with one import of the framework.

`python -m tests.support.forked_attempts MODULE FOLDER KILLED NAME:FIRST:END…`: the program KILLED is killed twice, by
a signal, in forks that are made before anything uses the framework. It ends in this process. Then each program NAME
trains under the schedules of the seeds from FIRST to END - 1, see `program_schedules`. A line of JSON for each tells
the differences.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path

from tests.support.cuts import KILL, Cut, cutting, kill_process
from tests.support.finished_runs import differences
from tests.support.program_schedules import Train, scheduled, uninterrupted

KILLS = (Cut(KILL, 9, (2, 5)), Cut(KILL, 7, (3,)))


def killed(train: Train, name: str, folder: Path) -> None:
    """Train in a process that is killed, and in another one that continues and is killed."""
    for cut in KILLS:
        child = os.fork()
        if not child:
            with cutting(cut, kill_process):
                train(name, str(folder))
            os._exit(1)  # it was not killed
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, f"{name} ended with {status}"


def main(module: str, at: str, killed_one: str, *programs: str) -> None:
    """Run all of it."""
    train: Train = importlib.import_module(module).main
    folder = Path(at)
    killed(train, killed_one, folder / "killed")
    train(killed_one, str(folder / "killed"))
    for program in programs:
        name, first, end = program.split(":")
        points = uninterrupted(train, name, folder / name)
        if name == killed_one:
            _tell(name, "killed", folder / name, folder / "killed")
        for seed in range(int(first), int(end)):
            part = folder / f"{name}-{seed}"
            scheduled(train, name, part, seed, points)
            _tell(name, seed, folder / name, part)


def _tell(name: str, seed: int | str, whole: Path, part: Path) -> None:
    print(json.dumps([name, seed, differences(whole, part)]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
