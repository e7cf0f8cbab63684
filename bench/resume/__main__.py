"""Runs each program without and with kills, and prints what was redone, lost, repeated, and whether weights are equal.

`python -m bench.resume`. The kills are real (SIGKILL), and come at the same steps of all programs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from baton.drill.files.readers import read_leaves
from baton.program.drill.plan import DRILL_VARIABLE, Plan
from bench.figures import heading, table
from bench.resume.steps import PER_EPOCH, SAVE_EVERY, TOTAL

ROOT = Path(__file__).resolve().parents[2]
KILLS = 3
KERAS, TORCH = "keras", "torch"
FIT = f"Keras, baton.keras.fit, each {SAVE_EVERY} steps"


@dataclass(frozen=True)
class Way:
    """A program under comparison. `framework`: KERAS or TORCH, whose interpreter is used."""

    name: str
    framework: str
    module: str
    arguments: tuple[str, ...] = ()


WAYS = (
    Way("Keras BackupAndRestore, each epoch", KERAS, "keras_backup", ("epoch",)),
    Way(f"Keras BackupAndRestore, each {SAVE_EVERY} steps", KERAS, "keras_backup", (str(SAVE_EVERY),)),
    Way(FIT, KERAS, "keras_backup", ("baton",)),
    Way(f"Keras, a loop with baton.init, each {SAVE_EVERY} steps", KERAS, "keras_baton"),
    Way("PyTorch, checkpoint of tutorials, each epoch", TORCH, "torch_tutorial"),
    Way(f"PyTorch, a loop with baton.init, each {SAVE_EVERY} steps", TORCH, "torch_baton"),
)


@dataclass(frozen=True)
class Ran:
    """A training that has come to its end. `lineage`: the batches that the final weights have seen, in their order.

    `step`: median seconds of a step. `cpu`: CPU seconds of all its processes, which other load changes little.
    """

    executed: int
    lineage: list[str]
    weights: dict[str, str]
    step: float
    cpu: float


def interpreters() -> dict[str, str]:
    """The interpreter of each framework that this machine has."""
    found = {KERAS: sys.executable}
    torch = subprocess.run(["/bin/sh", str(ROOT / "scripts/torch.sh")], capture_output=True, text=True, check=False)
    if torch.returncode == 0:
        found[TORCH] = torch.stdout.strip()
    return found


def train(way: Way, python: str, folder: Path, kills: list[int]) -> Ran:
    """Run the program until it ends by itself. Each start but the last one is killed at a step."""
    folder.mkdir()
    log, before = folder / "steps", _cpu()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "STEPS": str(log),
        "BATON_RUN_DIR": str(folder / "run"),
        "BATON_SAVE_EVERY": "1h",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    if way.name == FIT:  # it saves when a save is due; here by steps, as the others
        plan = Plan(str(folder / "trace"), ticks=tuple(range(SAVE_EVERY, TOTAL, SAVE_EVERY)), looks=False)
        plan.write(folder / "plan")
        environment[DRILL_VARIABLE] = str(folder / "plan")
    for at in [*kills, 0]:
        command = [python, "-m", f"bench.resume.{way.module}", *way.arguments]
        done = subprocess.run(
            command, cwd=folder, env={**environment, "KILL_AT": str(at)}, capture_output=True, text=True, check=False
        )
        if done.returncode != (-signal.SIGKILL if at else 0):
            raise SystemExit(
                f"{way.name}: exit status {done.returncode} instead of a kill at {at}\n{done.stderr[-3000:]}"
            )
    (final,) = folder.glob("final.*")
    weights = {name: leaf.digest for name, leaf in read_leaves(final).items()}
    return _ran([json.loads(line) for line in log.read_text().splitlines()], weights, _cpu() - before)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ran(lines: list[dict[str, Any]], weights: dict[str, str], cpu: float) -> Ran:
    executed, lineage, steps = 0, list[str](), list[float]()
    for before, line in zip([{}, *lines], lines, strict=False):
        if "restored" in line:
            lineage = lineage[: line["restored"]]
            continue
        executed += 1
        lineage.append(line["samples"])
        if "restored" not in before:
            steps.append(line["at"] - before["at"])
    return Ran(executed, lineage, weights, statistics.median(steps), cpu)


def row(way: Way, python: str, folder: Path, kills: list[int]) -> list[str]:
    """The line of the table."""
    whole, killed = train(way, python, folder / "whole", []), train(way, python, folder / "killed", kills)
    equal, redone = killed.weights == whole.weights, killed.executed - whole.executed
    varies = not equal and train(way, python, folder / "again", []).weights != whole.weights
    return [
        way.name,
        str(redone),
        f"{redone * whole.step:.2f}",
        f"{killed.cpu - whole.cpu:.1f}",
        ("yes" if equal else "no") + (" (not even without kills)" if varies else ""),
        _data(whole.lineage, killed.lineage),
    ]


def _data(planned: list[str], used: list[str]) -> str:
    if planned == used:
        return "each batch once, in order"
    more = len(used) - len(planned)
    if more:
        return f"{abs(more)} batches too {'many' if more > 0 else 'few'}"
    first = next(k for k, (one, other) in enumerate(zip(planned, used, strict=True)) if one != other)
    again = sum(used.count(one) - planned.count(one) for one in {*used} if used.count(one) > planned.count(one))
    return f"another order from step {first + 1} on; {again} batches repeat earlier ones"


def kill_steps(seed: int) -> list[int]:
    """The steps at which the programs are killed: one in each third, none at the end of an epoch."""
    draw = random.Random(seed)
    part = TOTAL // KILLS
    free = [[s for s in range(k * part + SAVE_EVERY, (k + 1) * part) if s % PER_EPOCH] for k in range(KILLS)]
    return [draw.choice(steps) for steps in free]


def rows(folder: Path, kills: list[int], only: str) -> Iterator[list[str]]:
    """The lines of the ways whose name has this text, as they are measured."""
    pythons = interpreters()
    for number, way in enumerate(WAYS):
        if only in way.name and way.framework in pythons and (way.name != FIT or find_spec("baton.keras") is not None):
            (folder / str(number)).mkdir()
            yield row(way, pythons[way.framework], folder / str(number), kills)


def main() -> int:
    """Measure, print, and return the exit status: 1 if a program with Baton does not end with equal weights."""
    parser = argparse.ArgumentParser(prog="make bench-resume", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the kills (%(default)s)")
    parser.add_argument("--only", default="", help="measure only the ways whose name has this text")
    options = parser.parse_args()
    kills = kill_steps(options.seed)
    heading("ways to resume a training, under the same kills")
    print(f"{TOTAL} steps in epochs of {PER_EPOCH}; SIGKILL at the steps {', '.join(map(str, kills))}\n")
    with tempfile.TemporaryDirectory(prefix="baton-resume-") as folder:
        found = list(rows(Path(folder), kills, options.only))
    head = ("way", "steps redone", "their seconds", "CPU seconds lost", "weights equal", "data of the final weights")
    table(head, found)
    return int(any("baton" in line[0] and line[4] != "yes" for line in found))


if __name__ == "__main__":
    sys.exit(main())
