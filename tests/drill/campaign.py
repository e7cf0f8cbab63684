"""`make drill-campaign N=20`: drills each planted fault and each correct program with N seeds, and counts.

The exit status is 1 if a fault was not found, a correct program raised an alarm, or less than eight of ten faults were
named as often as not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from baton.drill.drill import EQUAL
from tests.drill.drilling import drilled
from tests.drill.planted import CORRECT, PLANTED

NAMED_AT_LEAST = 8


def main() -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make drill-campaign", description=__doc__)
    parser.add_argument("-n", type=int, default=20, help="how many seeds (%(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000, help="the first seed (now)")
    parser.add_argument("--kills", type=int, default=4, help="interruptions in each drill (%(default)s)")
    options = parser.parse_args()
    seeds, began = range(options.seed, options.seed + options.n), time.monotonic()
    print(f"seeds {seeds.start} to {seeds.stop - 1}, {options.kills} interruptions each", flush=True)
    missed, named = 0, 0
    for name, (cause, _) in PLANTED.items():
        said = Counter(_cause(f"{name}.py", seed, options.kills, {}) for seed in seeds)
        missed += said[EQUAL]
        named += 2 * said[cause] > options.n
        print(f"{name:<20} {_shown(said)}", flush=True)
    alarms = 0
    for save in CORRECT:
        said = Counter(_cause("correct.py", seed, options.kills, {"save": save, "seed": seed}) for seed in seeds)
        alarms += options.n - said[EQUAL]
        print(f"correct, {save:<11} {_shown(said)}", flush=True)
    print(
        f"not found {missed}, false alarms {alarms}, named {named} of {len(PLANTED)}, {time.monotonic() - began:.0f} s"
    )
    return int(missed > 0 or alarms > 0 or named < NAMED_AT_LEAST)


def _cause(script: str, seed: int, kills: int, params: dict[str, object]) -> str:
    with tempfile.TemporaryDirectory(prefix="baton-drill-") as folder:
        found = drilled(Path(folder), script, seed=seed, kills=kills, params=params).diagnosis
    return EQUAL if found is None else found.cause.code


def _shown(said: Counter[str]) -> str:
    return ", ".join(f"{count} {cause}" for cause, count in said.most_common())


if __name__ == "__main__":
    sys.exit(main())
