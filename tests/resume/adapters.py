"""`make chaos-adapters N=10`: programs that use the adapters are killed at drawn points. Their results must not differ.

N schedules of each program. Each attempt is a process of its own. It ends by SIGKILL at a step, by SIGKILL at a moment
of the clock, by a request to stop, or at last by itself. Then all arrays, the history and the files of callbacks must
be equal to the bit to those of an uninterrupted run. The exit status is 1 if a schedule ended differently.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.cuts import VARIABLE, Cut, as_text, drawn
from tests.support.finished_runs import differences
from tests.support.frameworks import interpreter
from tests.support.service import ROOT

STOPPED, KILLED = 75, -9
LIMIT = 600
NEVER = Cut("", 0, ())


@dataclass(frozen=True)
class Program:
    """`python -m MODULE NAME FOLDER` trains in FOLDER/run and writes what is compared, see `finished_runs`.

    `framework`: that of `tests.support.frameworks.interpreter`; none: this interpreter has it.
    """

    name: str
    module: str
    framework: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Name and framework."""
        return f"{self.name} ({self.framework or 'tensorflow'})"


KERAS = [
    Program(name, "tests.support.keras_programs", framework, {"KERAS_BACKEND": framework or "tensorflow"})
    for framework in ("", "jax")
    for name in ("cnn", "lstm", "regression", "custom", "folds")
]
TORCH = [
    Program(name, "tests.support.torch_programs", framework, {"OMP_NUM_THREADS": "1"})
    for framework, names in (
        ("torch-cpu", ("loop", "accumulating", "phases", "stream", "state")),
        ("torch", ("loop", "accumulating")),
    )
    for name in names
]
JAX = [Program(name, "tests.support.jax_programs", "jax") for name in ("linen", "objects", "keys")]
PROGRAMS = [*KERAS, *TORCH, *JAX]


def main() -> int:
    """Run the schedules, and return the exit status."""
    options = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="baton-adapters-"))
    failed, began = 0, time.monotonic()
    chosen = [one for one in PROGRAMS if not options.only or options.only in one.title]
    print(f"{options.n} schedules of each of {len(chosen)} programs, from seed {options.seed}", flush=True)
    for program in chosen:
        failed += _campaign(program, folder, options.seed, options.n)
    print(f"{failed} schedules ended differently; {time.monotonic() - began:.0f} s in all")
    if failed:
        print(f"the folders of the runs are in {folder}")
    else:
        shutil.rmtree(folder)
    return int(failed > 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos-adapters", description=__doc__)
    parser.add_argument("-n", type=int, default=10, help="schedules of each program (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule (%(default)s)")
    parser.add_argument("--only", help="programs whose title contains this text, such as jax")
    return parser.parse_args()


def _campaign(program: Program, folder: Path, first: int, number: int) -> int:
    """All schedules of a program. Returns how many ended differently."""
    began, failed, attempts = time.monotonic(), 0, 0
    whole = folder / f"{program.name}-{program.framework}"
    points, seconds = uninterrupted(program, whole)
    for seed in range(first, first + number):
        part = folder / f"{whole.name}-{seed}"
        attempts += scheduled(program, part, seed, points, seconds)
        found = differences(whole, part)
        failed += bool(found)
        if found:
            print(f"  {program.title}, seed {seed}: {', '.join(found[:5])} of {len(found)} differ", flush=True)
        else:
            shutil.rmtree(part)
    took = time.monotonic() - began
    print(
        f"{program.title}: {number - failed} of {number} equal to the bit, {attempts} attempts, {took:.0f} s",
        flush=True,
    )
    return failed


def uninterrupted(program: Program, folder: Path) -> tuple[int, float]:
    """Run the program without a cut. Returns its points and its seconds."""
    began = time.monotonic()
    done = started(program, folder, NEVER)
    output, _ = done.communicate(timeout=LIMIT)
    assert done.returncode == 0, output
    return int(output.rsplit(" points", 1)[0].split()[-1]), time.monotonic() - began


def scheduled(program: Program, folder: Path, seed: int, points: int, seconds: float) -> int:
    """Run the program under the schedule of this seed. Returns the number of attempts."""
    for attempts, drawn_cut in enumerate(drawn(seed, points), start=1):
        by_clock = attempts == 2 and seed % 3 == 0
        cut = Cut("", 0, drawn_cut.saves) if by_clock else drawn_cut
        clock = seconds * (seed * 0.618 % 1) if by_clock else LIMIT
        done = started(program, folder, cut)
        try:
            output, _ = done.communicate(timeout=clock)
        except subprocess.TimeoutExpired:
            done.kill()
            output, _ = done.communicate()
        if done.returncode == 0:
            return attempts
        assert done.returncode in (STOPPED, KILLED), f"status {done.returncode}: {output}"
    raise AssertionError("the last attempt did not end")


def started(program: Program, folder: Path, cut: Cut) -> subprocess.Popen[str]:
    """Start an attempt."""
    python = interpreter(program.framework) if program.framework else sys.executable
    command = [python, "-m", "tests.support.cuts", program.module, program.name, str(folder)]
    environment = {**os.environ, **program.environment, VARIABLE: as_text(cut), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


if __name__ == "__main__":
    sys.exit(main())
