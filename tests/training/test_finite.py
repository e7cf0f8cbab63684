"""A NaN or infinite value ends the job at its step, and no model that contains one becomes the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.domain.spec import JobSpec, parse_spec
from baton.storage import open_store
from tests.support.recorder import Recorder
from worker.attempt.protocols import Stopped, Workspace
from worker.checkpointing.checkpoint_files import read_checkpoint
from worker.training.loop import train
from worker.training.step.engine import Engine
from worker.training.step.finite import first_bad_array, first_bad_value

STEPS = 4


def spec() -> JobSpec:
    stage = {"image_size": 8, "batch_size": 16, "epochs": 3, "steps_per_epoch": STEPS}
    network = {"name": "tiny-cnn", "width": 0.2}
    return parse_spec(
        {"name": "x", "network": network, "dataset": {"name": "digits", "per_class": 20}, "stages": [stage]}
    )


def failure(folder: Path, control: Recorder) -> JobFailure:
    with pytest.raises(JobFailure) as found:
        train(spec(), control, Workspace(folder / "cache", threads=1, processes=0), None)
    assert found.value.reason == Reason.NOT_FINITE
    return found.value


@pytest.fixture
def control(tmp_path: Path) -> Recorder:
    return Recorder(open_store(f"file://{tmp_path}/store"))


def before_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[Engine], None]) -> None:
    """Call `act` with the engine before its step of this number, counted from 1."""
    inner, taken = Engine.train_step, [0]

    def train_step(self: Engine, *arguments: Any) -> None:
        taken[0] += 1
        if taken[0] == step:
            act(self)
        inner(self, *arguments)

    monkeypatch.setattr(Engine, "train_step", train_step)


def spoil_a_weight(engine: Engine) -> None:
    weight = engine.network.trainable_variables[0]
    weight.assign(np.full(weight.shape, nan, np.float32))


def assert_all_are_finite(control: Recorder) -> None:
    """The newest checkpoint was saved before the bad value: all its arrays are finite."""
    assert control.newest is not None
    assert first_bad_array(read_checkpoint(control.store, control.newest)[0].arrays) is None


def test_the_loss_of_a_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, control: Recorder) -> None:
    before_step(monkeypatch, STEPS + 2, spoil_a_weight)
    assert f"at step {STEPS + 2}." in str(failure(tmp_path, control))
    assert list(control.rows) == [1]
    assert_all_are_finite(control)


def test_the_step_is_right_after_a_resume_inside_the_epoch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, control: Recorder
) -> None:
    control.stop_at = STEPS - 1
    workspace = Workspace(tmp_path / "cache", threads=1, processes=0)
    with pytest.raises(Stopped):
        train(spec(), control, workspace, None)
    assert control.newest is not None
    snapshot = read_checkpoint(control.store, control.newest)[0]
    done = snapshot.position.global_step
    assert 0 < done < STEPS - 1
    before_step(monkeypatch, 2, spoil_a_weight)
    with pytest.raises(JobFailure, match=rf"at step {done + 2}\.") as found:
        train(spec(), replace(control, stop_at=None), workspace, snapshot)
    assert found.value.reason == Reason.NOT_FINITE


def test_the_validation_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, control: Recorder) -> None:
    """The row is recorded, so that the owner sees it, but the epoch is not the best."""
    inner, epochs = Engine.examine, [0]

    def examine(self: Engine, *arguments: Any) -> Any:
        score, answers = inner(self, *arguments)
        epochs[0] += 1
        return (replace(score, loss=inf) if epochs[0] == 2 else score), answers

    monkeypatch.setattr(Engine, "examine", examine)
    assert f"val_loss is inf at step {2 * STEPS}." in str(failure(tmp_path, control))
    assert list(control.rows) == [1, 2]
    assert control.best is not None
    assert control.best.epoch == 1


def test_the_optimizer_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, control: Recorder) -> None:
    inner = Engine.arrays

    def arrays(self: Engine) -> Any:
        found = inner(self)
        name = next(name for name in found if name.startswith("optimizer/") and "momentum" in name)
        return {**found, name: np.full_like(found[name], inf)}

    monkeypatch.setattr(Engine, "arrays", arrays)
    message = str(failure(tmp_path, control))
    assert "optimizer/" in message
    assert f"at step {STEPS}." in message
    assert control.best is None


def test_every_value_of_an_epoch_is_looked_at() -> None:
    assert first_bad_value({"loss": 0.5, "val_accuracy": nan}) == "val_accuracy is nan"
    assert first_bad_value({"loss": 0.5, "val_accuracy": 0.0}) is None


def test_what_is_not_finite_is_found_in_every_type_of_float() -> None:
    import ml_dtypes

    for kind in (np.float16, np.float32, np.float64, ml_dtypes.bfloat16):
        good = np.ones(5, kind)
        for value in (nan, inf, -inf):
            bad = good.copy()
            bad[3] = value
            assert first_bad_array({"good": good, "bad": bad}) == "bad"
    assert first_bad_array({"huge": np.full(9, 3e38, np.float32), "count": np.arange(3)}) is None
