"""`python -m tests.support.faulty_runner`: the process that runs a program, and is killed at a named point.

The file that SHOTS names has one point and its number in each line. Each process takes the first line away.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.fault_points import PROGRAM_PLACES, FaultPoints, Shot, install
from worker.attempt.process import Loaded, serve
from worker.programs.process import programs
from worker.settings import WorkerSettings

SHOTS = "SHOTS"


def load(settings: WorkerSettings) -> Loaded:
    """Install the next shot."""
    file = Path(os.environ[SHOTS])
    first, _, rest = file.read_text().partition("\n")
    file.write_text(rest)
    point, _, nth = first.rpartition(" ")
    shots = (Shot(point, int(nth), "SIGKILL"),) if first else ()
    install(FaultPoints(shots, lambda shot: print(f"killed at: {shot.point}", flush=True)), places=PROGRAM_PLACES)
    return programs(settings)


if __name__ == "__main__":
    serve(load)
