"""`make bench-gpu`: images per second of both networks, and where the time goes. Compared with torch.compile if PyTorch
is installed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from baton.system.gpus import gpus
from bench.figures import Spread, heading, percent, table
from bench.gpu import carried, whole
from bench.gpu.case import FULL, SMALL, Case

BASELINE = "torch.compile, channels last, step alone (baseline)"
WAYS = {
    BASELINE: ("torch_steps", "none"),
    "Baton, step alone": ("keras_steps", "none"),
    "Baton, step with augmentation": ("keras_steps", "augmented"),
    "the same, inputs of each step copied by themselves": ("keras_steps", "augmented-each"),
}


@dataclass(frozen=True)
class Steps:
    """One way to take steps. `compiled`: seconds of the first step."""

    rate: Spread
    compiled: float


def main() -> None:
    """Measure and print."""
    given = _arguments()
    small = given.small or not gpus()
    heading(f"GPU: {gpus()[0].name if gpus() else 'none; a small case on the CPU, whose numbers do not apply to GPUs'}")
    for case in SMALL if small else FULL:
        print(f"--- {case.name}")
        ways = [way for way in WAYS if way != BASELINE or find_spec("torch") is not None]
        found = {way: _steps(case, way, given.seconds, small=small) for way in ways}
        _print_steps(found)
        _print_carried(*carried.measure(case, small=small))
        if not given.steps_only:
            _print_whole(whole.measure(case, given.data, 20 if small else None if given.data else 781), found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu")
    parser.add_argument("--data", type=Path, help="a directory of Tiny ImageNet for the whole worker; default: digits")
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds of steps for each way (20)")
    parser.add_argument(
        "--small", action="store_true", help="narrow networks and small images, the default without a GPU"
    )
    parser.add_argument("--steps-only", action="store_true", help="measure only the steps, not a whole worker")
    return parser.parse_args()


def _steps(case: Case, way: str, seconds: float, *, small: bool) -> Steps:
    module, mode = WAYS[way]
    command = [sys.executable, "-m", f"bench.gpu.{module}", case.network, mode, str(seconds)]
    done = subprocess.run([*command, *(["--small"] if small else [])], stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return Steps(Spread.of(found["rates"]), found["compile"])


def _print_steps(found: dict[str, Steps]) -> None:
    base = found.get(BASELINE, found["Baton, step alone"]).rate.median
    rows = [
        (
            way,
            f"{one.rate.median:,.0f}",
            f"{one.rate.error:,.0f}",
            f"{one.rate.median / base:.3f}",
            f"{one.compiled:.1f}",
        )
        for way, one in found.items()
    ]
    table(("", "images/s", "error", "ratio", "first step, s"), rows)
    if BASELINE not in found:
        print("PyTorch is not installed: the ratios are to Baton's own step without augmentation\n")


def _print_carried(first: float, found: dict[str, carried.Carried]) -> None:
    rows = [
        (way, f"{one.first:.1f}", "yes" if one.equal else "NO", f"{one.size / 1000:,.0f}") for way, one in found.items()
    ]
    table(("carried to a second process", "first step, s", "equal bits", "kB"), rows)
    print(f"The first process took {first:.1f} s for its first step.\n")


def _print_whole(seen: whole.Whole, found: dict[str, Steps]) -> None:
    rate, step = Spread.of(seen.rates).median, found["Baton, step with augmentation"].rate.median
    used = sum(seen.used) / len(seen.used) if seen.used else None
    rows = [
        ("images per second over whole epochs, with validation and checkpoints", f"{rate:,.0f}"),
        ("ratio to the step alone", percent(rate / step)),
        ("checkpoint stall, share of the job's time", percent(seen.stall / seen.total)),
        ("worker's start to first new step after kill -9, s", f"{seen.resume:.1f}"),
        ("  of it the first step, with compilation, s", f"{seen.compiled:.1f}"),
        ("share of time in which the GPU worked, by nvidia-smi", "no GPU" if used is None else percent(used)),
    ]
    table(("through the whole worker", ""), rows)


if __name__ == "__main__":
    main()
