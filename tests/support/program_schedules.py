"""Programs with an adapter under drawn schedules, all attempts in one process.

`python -m tests.support.program_schedules MODULE FOLDER SEED… -- NAME…` prints a line for each schedule. MODULE has
`main(name, folder)`. The exit status is the number of schedules that ended differently.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from baton.program.errors import Stopped
from tests.support.cuts import Cut, Killed, cutting, drawn, kill_in_process
from tests.support.finished_runs import differences

NEVER = Cut("", 0, ())
Train = Callable[[str, str], object]


def uninterrupted(train: Train, name: str, folder: Path) -> int:
    """Train without cuts. Returns the number of points."""
    with cutting(NEVER, kill_in_process) as count:
        train(name, str(folder))
    return count[0]


def scheduled(train: Train, name: str, folder: Path, seed: int, points: int) -> int:
    """Train under the schedule of this seed. Returns the number of attempts."""
    for attempt, cut in enumerate(drawn(seed, points), start=1):
        with cutting(cut, kill_in_process):
            try:
                train(name, str(folder))
            except (Killed, Stopped):
                continue
        return attempt
    raise AssertionError("the last attempt did not end")


def main(module: str, at: str, *words: str) -> int:
    """Run the schedules."""
    train: Train = importlib.import_module(module).main
    split, failed, folder = words.index("--"), 0, Path(at)
    for name in words[split + 1 :]:
        points = uninterrupted(train, name, folder / name)
        for seed in map(int, words[:split]):
            part = folder / f"{name}-{seed}"
            attempts = scheduled(train, name, part, seed, points)
            found = differences(folder / name, part)
            failed += bool(found)
            print(json.dumps({"name": name, "seed": seed, "attempts": attempts, "differences": found}), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
