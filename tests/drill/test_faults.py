"""The drill finds planted faults, and says where each comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from baton.drill.drill import DIFFERENT, NOT_DETERMINISTIC
from tests.drill.drilling import drilled, written
from tests.drill.planted import EQUAL_CHECKPOINTS, PLANTED, VARY

pytestmark = pytest.mark.process

BEGIN = """
import numpy as np
from pathlib import Path
from common import PER_EPOCH, TOTAL, batch_of, gradient, val_loss
import baton
run = baton.init()
weights, first = np.zeros(4), 0
if saved := run.restore():
    weights, first = np.load(saved.folder / "weights.npy"), saved.step
"""
STEP = """
for step in range(first, TOTAL):
    loss, slope = gradient(weights, batch_of(step))
    weights = weights - 0.05 * slope
    run.log({"loss": loss}, step=step)
"""
END = """
    if run.save_due():
        with run.save(step=step + 1) as folder:
            np.save(folder / "weights.npy", weights)
    run.check()
np.savez("final.npz", weights=weights)
run.publish("final.npz", "final.npz")
"""


SAME_WAY = {"unsaved_ema", "unsaved_schedule", "best_lost", "stale_batch"}
"""These are found by the same part of the drill as `iterator_position`, and only their names differ."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SAME_WAY else name for name in PLANTED]
)
def test_a_planted_fault_is_found_and_named(name: str, tmp_path: Path) -> None:
    outcome = drilled(tmp_path, f"{name}.py", seed=1)
    cause, named = PLANTED[name]
    assert outcome.verdict == (NOT_DETERMINISTIC if name in VARY else DIFFERENT)
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.cause.code == cause, outcome.diagnosis
    assert named in "\n".join(outcome.diagnosis.evidence)
    assert (outcome.comparison.first_checkpoint is None) == (name in EQUAL_CHECKPOINTS)


def test_a_variable_whose_name_tells_nothing_is_named(tmp_path: Path) -> None:
    step = STEP + "    slow = 0.9 * slow + 0.1 * weights\n    run.log({'slow': slow[0]}, step=step)"
    code = written(tmp_path / "code", train=BEGIN + "slow = weights.copy()" + step + END)
    outcome = drilled(tmp_path / "runs", "train.py", code=code)
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.cause.code == "unsaved_variable"
    assert "`slow`" in outcome.diagnosis.evidence[1]


def test_a_save_that_changes_the_training(tmp_path: Path) -> None:
    end = END.replace("np.save(", "weights = weights + 1e-9; np.save(")
    outcome = drilled(tmp_path / "runs", "train.py", code=written(tmp_path / "code", train=BEGIN + STEP + end))
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.cause.code == "saving_changes_the_run"


def test_a_file_that_the_program_appends_to(tmp_path: Path) -> None:
    step = STEP + "    with open('own.csv', 'a') as out: out.write(f'{step},{loss}\\n')\n"
    end = END + "run.publish('own.csv', 'own.csv')"
    outcome = drilled(tmp_path / "runs", "train.py", code=written(tmp_path / "code", train=BEGIN + step + end))
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.cause.code == "file_outside_the_save"


def test_a_program_that_cannot_continue_elsewhere(tmp_path: Path) -> None:
    begin = BEGIN + "if saved: Path('vocabulary').read_text()\nelse: Path('vocabulary').write_text('a b c')\n"
    outcome = drilled(tmp_path / "runs", "train.py", code=written(tmp_path / "code", train=begin + STEP + END))
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.cause.code == "fails_after_a_resume"
    assert "in a new copy of the code" in outcome.diagnosis.evidence[0]
    assert "vocabulary" in outcome.diagnosis.evidence[1]


def test_a_generator_without_a_seed(tmp_path: Path) -> None:
    begin = BEGIN + "noise = np.random.default_rng()\nweights = weights + noise.normal(size=4)"
    outcome = drilled(tmp_path / "runs", "train.py", code=written(tmp_path / "code", train=begin + STEP + END))
    assert outcome.verdict == NOT_DETERMINISTIC
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.cause.code == "unseeded_generator"


@pytest.mark.parametrize(
    ("begin", "says"),
    [
        ("weights = weights + np.random.normal(size=4)\n", "drawn from numpy.random before the first step"),
        (
            "import random\nif saved: weights = weights + 1e-3 * random.random()\n",
            "drawn from random, which has no seed",
        ),
    ],
)
def test_a_global_generator_without_a_seed(begin: str, says: str, tmp_path: Path) -> None:
    outcome = drilled(tmp_path / "runs", "train.py", code=written(tmp_path / "code", train=BEGIN + begin + STEP + END))
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.cause.code == "unseeded_generator", outcome.diagnosis
    assert says in "\n".join(outcome.diagnosis.evidence)


def test_a_program_whose_computation_varies(tmp_path: Path) -> None:
    step = "import os, time\nstart = time.time()" + STEP + "    weights += 1e-12 * os.getpid()\n"
    outcome = drilled(tmp_path / "runs", "train.py", code=written(tmp_path / "code", train=BEGIN + step + END))
    assert outcome.verdict == NOT_DETERMINISTIC
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.cause.code == "nondeterministic"


def test_a_measured_time_can_be_left_out(tmp_path: Path) -> None:
    step = STEP.replace('"loss": loss', '"loss": loss, "step_seconds": time.monotonic()')
    code = written(tmp_path / "code", train="import time\n" + BEGIN + step + END)
    told = drilled(tmp_path / "told", "train.py", code=code)
    assert told.diagnosis is not None
    assert told.diagnosis.cause.code == "clock"
    assert drilled(tmp_path / "left-out", "train.py", code=code, ignored=("*_seconds",)).diagnosis is None
