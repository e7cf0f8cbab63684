"""`make bench-program`: what `import baton` costs a training program, beside the same program without it.

A program trains with NumPy, once in a local folder and once below a worker that answers each message. In shuffled order
it runs windows of steps without Baton, with the calls of each step (`log`, `save_due`, `check`), and with these and
one save. The worker's side is another process and does not upload.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import baton
from bench.figures import Spread, heading, percent, table
from tests.support.program_worker import ProgramWorker

BATCHES, CALLS = 60, 200
WINDOWS, STEPS = 15, 100
SAVES = 8
SIZE = 160
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
CALL_LIMIT, SAVE_EVERY, SAVE_LIMIT = 20e-6, 60.0, 0.01


class Program:
    """A training step on arrays of `megabytes` in all, and its saves."""

    def __init__(self, run: baton.Run, megabytes: int) -> None:
        self.run = run
        self.state = {f"a{k}": np.random.default_rng(k).random(125_000) for k in range(megabytes)}
        self.weights = np.eye(SIZE)
        self.step = 0

    def train(self) -> float:
        """One step. Returns its loss."""
        self.weights = self.weights @ self.weights / 2 + np.eye(SIZE) / 2
        self.step += 1
        return float(self.weights[0, 0])

    def plain(self, steps: int) -> None:
        """Steps without Baton."""
        for _ in range(steps):
            self.train()

    def with_calls(self, steps: int) -> None:
        """Steps with the calls of each step."""
        for _ in range(steps):
            self.run.log({"loss": self.train()}, step=self.step)
            self.run.save_due()
            self.run.check()

    def save(self) -> None:
        """A save that the training waits for."""
        with self.run.save(step=self.step) as folder:
            self.write(folder)

    def save_in_background(self) -> None:
        """A save of which the training waits only for a copy of the state."""
        copied = {name: array.copy() for name, array in self.state.items()}
        self.run.save_in_background(step=self.step, write=lambda folder: self.write(folder, copied))

    def write(self, folder: Path, state: dict[str, Any] | None = None) -> None:
        """The files of a save."""
        for name, array in (state or self.state).items():
            np.save(folder / f"{name}.npy", array)


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def per_call(work: Callable[[int], object]) -> list[float]:
    """Mean seconds of a call, for each batch of calls. `work` gets the number of the call."""

    def batch(first: int) -> None:
        for k in range(first, first + CALLS):
            work(k)

    batch(0)
    return [seconds(partial(batch, n * CALLS)) / CALLS for n in range(1, BATCHES + 1)]


def measure(megabytes: int) -> dict[str, Any]:
    """All measurements of one process. Times in seconds."""
    run = baton.init(params={})
    program = Program(run, megabytes)
    calls = {
        "log, one metric": per_call(lambda k: run.log({"loss": 0.5}, step=k)),
        "log, five metrics": per_call(lambda k: run.log({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 5.0}, step=k)),
        "save_due": per_call(lambda _: run.save_due()),
        "check": per_call(lambda _: run.check()),
    }
    program.plain(STEPS)
    windows: dict[str, list[tuple[float, float]]] = {"without": [], "with": []}
    order = [*windows] * WINDOWS
    random.Random(0).shuffle(order)
    for kind in order:
        cpu = time.process_time()
        clock = seconds(partial(program.plain if kind == "without" else program.with_calls, STEPS))
        windows[kind].append((clock / STEPS, (time.process_time() - cpu) / STEPS))
    saves: dict[str, list[float]] = {"plain files": [], "save": [], "save_in_background": []}
    for _ in range(SAVES):
        with tempfile.TemporaryDirectory(dir=".") as folder:
            saves["plain files"].append(seconds(partial(program.write, Path(folder))))
        program.plain(STEPS)
        saves["save"].append(seconds(program.save))
        saves["save_in_background"].append(seconds(program.save_in_background))
    run.close()
    return {"calls": calls, "windows": windows, "saves": saves}


def show(where: str, found: dict[str, Any], megabytes: int) -> None:
    """Prints the measurements of one process."""
    heading(f"A program {where}, state of {megabytes} MB")
    spreads = {name: Spread.of(values) for name, values in found["calls"].items()}
    rows = [
        (name, *(f"{1e6 * value:.2f}" for value in (one.median, one.error, one.mean)), verdict(one.median, CALL_LIMIT))
        for name, one in spreads.items()
    ]
    table(("call", "median us", "error", "mean us", f"below {1e6 * CALL_LIMIT:.0f} us"), rows)
    rows = []
    for index, clock in enumerate(("by the clock", "by processor time")):
        without, called = (Spread.of([pair[index] for pair in found["windows"][kind]]) for kind in ("without", "with"))
        times = (without.median, without.error, called.median, called.error)
        rows.append((clock, *(f"{1e6 * value:.1f}" for value in times), f"{called.median / without.median:.4f}"))
    table(("a step", "without us", "error", "with us", "error", "ratio"), rows)
    files = Spread.of(found["saves"]["plain files"]).median
    rows = []
    for name, values in found["saves"].items():
        one = Spread.of(values)
        share = one.median / SAVE_EVERY
        verdicts = ("", "") if name == "plain files" else (percent(share), verdict(share, SAVE_LIMIT))
        rows.append((name, f"{1e3 * one.median:.1f}", f"{1e3 * one.error:.1f}", f"{one.median / files:.2f}", *verdicts))
    table(("the loop waits for", "median ms", "error", "of plain files", "at one a minute", "below 1 %"), rows)


def verdict(value: float, limit: float) -> str:
    """Whether the value is below the limit."""
    return "yes" if value < limit else "NO"


def main() -> None:
    """Measures both kinds of runs and prints them."""
    parser = argparse.ArgumentParser(prog="python -m bench.program", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=25, help="size of the state (25)")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.megabytes)))
        return
    command = [sys.executable, "-m", "bench.program", "--measure", "--megabytes", str(options.megabytes)]
    with tempfile.TemporaryDirectory(prefix="bench-program-") as name:
        folder = Path(name)
        worker = ProgramWorker(folder / "worker")
        for where, own in (("in a local folder", {}), ("below a worker", worker.environment)):
            (folder / where).mkdir()
            env = {**os.environ, "PYTHONPATH": str(Path.cwd()), "BATON_SAVE_EVERY": "1h", **ONE_THREAD, **own}
            done = subprocess.run(command, env=env, cwd=folder / where, check=True, stdout=subprocess.PIPE)
            show(where, json.loads(done.stdout), options.megabytes)
        worker.close()


if __name__ == "__main__":
    main()
