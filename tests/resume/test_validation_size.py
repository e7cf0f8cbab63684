"""A stage can train at one image size and validate at another, as network 1 of the paper does: always at 64 pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from baton.domain.overrides import apply_overrides
from baton.domain.spec import dump_spec, parse_spec
from tests.resume.in_process_run import run, spec
from worker.training.data import Split
from worker.training.input.source import in_order
from worker.training.output import evaluate_split


def test_every_stage_validates_at_the_size_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"stages.*.epochs": 1, "stages.*.steps_per_epoch": 2, "stages.*.validation_image_size": 16}
    seen: list[int] = []

    def watched(split: Split, *arguments: Any) -> Any:
        seen.append(split.size)
        return in_order(split, *arguments)

    monkeypatch.setattr(evaluate_split, "in_order", watched)
    ending = run(parse_spec(apply_overrides(dump_spec(spec()), changes)), tmp_path / "run")
    assert [row["image_size"] for row in ending.history] == [8, 16]
    # After each of the two epochs, and at the end for the best model on validation and test images.
    assert seen == [16, 16, 16, 16]
