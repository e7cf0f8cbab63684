"""Programs of `tests.support.keras_programs` under drawn schedules, all attempts in one process.

`python -m tests.support.keras_schedules FOLDER SEED… -- NAME…` prints a line for each schedule that ends differently.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from baton.program.errors import Stopped
from tests.support.cuts import Cut, Killed, cutting, drawn, kill_in_process
from tests.support.finished_runs import differences
from tests.support.keras_programs import main as train

NEVER = Cut("", 0, ())


def uninterrupted(name: str, folder: Path) -> int:
    """Train without cuts. Returns the number of points."""
    with cutting(NEVER, kill_in_process) as count:
        train(name, str(folder))
    return count[0]


def scheduled(name: str, folder: Path, seed: int, points: int) -> int:
    """Train under the schedule of this seed. Returns the number of attempts."""
    for attempt, cut in enumerate(drawn(seed, points), start=1):
        with cutting(cut, kill_in_process):
            try:
                train(name, str(folder))
            except (Killed, Stopped):
                continue
        return attempt
    raise AssertionError("the last attempt did not end")


def main(at: str, *words: str) -> int:
    """Run the schedules. The exit status is the number of those that differ."""
    split, failed, folder = words.index("--"), 0, Path(at)
    for name in words[split + 1 :]:
        whole = folder / name
        points = uninterrupted(name, whole)
        for seed in map(int, words[:split]):
            part = folder / f"{name}-{seed}"
            shutil.rmtree(part, ignore_errors=True)
            attempts = scheduled(name, part, seed, points)
            found = differences(whole, part)
            failed += bool(found)
            print(json.dumps({"name": name, "seed": seed, "attempts": attempts, "differences": found}), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
