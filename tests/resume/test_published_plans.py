"""Each published plan, made small with `--set` alone, trains to its end on images in Tiny ImageNet's layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from baton.domain.overrides import apply_overrides
from baton.domain.spec import parse_spec
from service.usecases.plans import plan_spec
from tests.resume.in_process_run import run
from tests.unit.training.pictures import tiny_imagenet

pytestmark = pytest.mark.slow

SMALL: dict[str, object] = {
    "width": 0.05,
    "stages.*.epochs": 1,
    "stages.*.steps_per_epoch": 2,
    "stages.*.batch_size": 4,
    "stages.*.image_size": 8,
    "stages.*.validation_image_size": None,
}


@pytest.mark.parametrize("plan", ["paper-network-1", "paper-network-2", "report-model-1", "report-model-2"])
def test_a_small_one_trains_every_stage(plan: str, tmp_path: Path) -> None:
    path = tiny_imagenet(tmp_path / "tiny", each=6)
    spec = parse_spec(apply_overrides(plan_spec(plan), {**SMALL, "dataset.path": str(path)}))
    ending = run(spec, tmp_path / "run")
    assert [(row["stage"], row["global_step"]) for row in ending.history] == [
        (k, 2 * k) for k in range(1, len(spec.stages) + 1)
    ]
    assert ("test_accuracy" in ending.results) == plan.startswith("report")
