"""The batch size of an evaluation, as a function of the spec."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from baton.domain.spec import JobSpec, parse_spec
from baton.domain.wire import EpochRow
from worker.attempt.protocols import Control
from worker.training.step.evaluation_batches import EvaluationBatches, evaluation_batch, note_halved


def spec(size: int, batch: int) -> JobSpec:
    stage = {"image_size": size, "batch_size": batch, "epochs": 1}
    return parse_spec({"name": "n", "network": {"name": "network-2"}, "dataset": {"name": "digits"}, "stages": [stage]})


@pytest.mark.parametrize(
    ("size", "batch", "pixels", "expected"),
    [
        (8, 1, 8, 256),
        (64, 4, 64, 256),
        (128, 512, 128, 256),
        (224, 16, 224, 64),
        (224, 96, 224, 96),
        (512, 4, 512, 16),
        (512, 64, 512, 64),
        (1024, 1, 1024, 4),
        (64, 128, 512, 16),
        (1024, 1, 4096, 1),
    ],
)
def test_the_size_follows_from_the_spec(size: int, batch: int, pixels: int, expected: int) -> None:
    assert evaluation_batch(spec(size, batch), 1, pixels) == expected


def test_what_fitted_holds_for_its_size_alone() -> None:
    batches = EvaluationBatches(spec(512, 64), fitted={512: 8})
    assert (batches.size(1, 512), batches.size(1, 64)) == (8, 256)
    batches.halve(64, 200, MemoryError())
    assert batches.fitted == {512: 8, 64: 100}


@pytest.mark.parametrize(("attempt", "kinds"), [(2, 1), (1, 2)])
def test_it_is_inexact_where_an_earlier_attempt_divided_otherwise(attempt: int, kinds: int) -> None:
    notes: list[str] = []
    control = SimpleNamespace(attempt=2, note=lambda kind, *_: notes.append(kind))
    row: Any = SimpleNamespace(stage=1, attempt=attempt)
    note_halved(cast(Control, control), spec(64, 4), [cast(EpochRow, row)], 64, 256, 128)
    assert notes == ["evaluation_batch_halved", "resumed_inexactly"][:kinds]
