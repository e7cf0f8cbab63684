"""Invented input for reports. All names that a user can choose have hostile values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from baton.domain.evaluation import EvaluatedModel
from baton.domain.spec import dump_spec, parse_spec
from baton.domain.views import AttemptView, JobView
from baton.domain.wire import ClassifierRow
from worker.training.evaluation import Answers
from worker.training.output.report.inputs import Facts, ReportInputs, Shown

EVIL = '<script>alert("x")</script>'
BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STEPS = (10, 5)
SPEC: dict[str, Any] = {
    "name": "made-up",
    "network": {"name": "network-2"},
    "dataset": {"name": "image-folder", "path": f"/data/{EVIL}|`x`"},
    "source": f"{EVIL} et al.",
    "published": {"val_accuracy": 0.4, "test_accuracy": 0.55},
    "stages": [
        {
            "name": "first",
            "image_size": 16,
            "epochs": 3,
            "schedule": {"name": "cyclic", "step_size": 7},
            "published": {"val_accuracy": 0.2562, "best_val_accuracy": 0.2662},
        },
        {"image_size": 24, "epochs": 2, "augmentation": "paper-1", "schedule": {"name": "reduce_on_plateau"}},
    ],
}


def row(epoch: int, attempt: int = 1) -> ClassifierRow:
    stage, stage_epoch = (1, epoch) if epoch <= 3 else (2, epoch - 3)
    step = 10 * min(epoch, 3) + 5 * max(0, epoch - 3)
    return ClassifierRow(
        epoch=epoch, stage=stage, stage_epoch=stage_epoch, global_step=step, image_size=16, batch_size=128,
        learning_rate=1e-3, loss=2 / epoch, accuracy=0.1 * epoch, val_loss=2.5 / epoch, val_accuracy=0.09 * epoch,
        attempt=attempt, seconds=1.5, images_per_second=100.0, finished_at=BEGUN,
    )  # fmt: skip


def names(classes: int) -> tuple[str, ...]:
    return (EVIL, "$x_1$, a class", *(f"class number {k}, of many" for k in range(2, classes)))


def answers(images: int, classes: int, seed: int = 0) -> Answers:
    generator = np.random.default_rng(seed)
    labels = (np.arange(images) % classes).astype(np.int32)
    scores = generator.random((images, classes))
    scores[np.arange(images), labels] += 0.5
    order = np.argsort(-scores, axis=1)[:, :5].astype(np.int32)
    probabilities = np.sort(generator.random((images, order.shape[1])).astype(np.float32))[:, ::-1]
    return Answers(labels, order, np.ascontiguousarray(probabilities))


def attempts() -> tuple[AttemptView, ...]:
    """Three attempts: preempted in the middle of epoch 2, lost in the last stage, and still running."""
    states = (("preempted", 15), ("lost", 32), ("running", None))
    return tuple(
        AttemptView(
            id=f"a{k}", attempt=k, state=state, fence=k, worker=f"worker-{k} {EVIL}", reason=None, message=None,
            created_at=BEGUN, claimed_at=BEGUN, finished_at=BEGUN + timedelta(seconds=90) if end else None,
            lease_expires_at=None, start_step=0, end_step=end, seconds={"training": 80.0},
        )
        for k, (state, end) in enumerate(states, start=1)
    )  # fmt: skip


def job() -> JobView:
    return JobView(
        id="0" * 32, name="made-up", status="running", reason=None, message=None, version=1, queue="default",
        priority="normal", created_at=BEGUN, started_at=BEGUN, finished_at=None, labels={}, spec=SPEC, progress=None,
        metrics={}, results={}, best=None, attempts=3, preemptions=1, failures=0, checkpoint=None, worker=None,
        phase=None, goodput={"training": 60.0, "waiting": 40.0, "total": 100.0, "goodput": 0.6},
    )  # fmt: skip


def material(*, classes: int = 6, finished: bool = True, told: bool = True, epochs: int = 5) -> ReportInputs:
    """The input for a job's report, of a finished or running job. `told`: whether the service responded."""
    sets = ("validation", "test") if finished else ("validation",)
    found = {name: answers(12 * classes, classes, seed) for seed, name in enumerate(sets)}
    generator = np.random.default_rng(5)
    pictures = generator.integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    facts = Facts(
        spec=dump_spec(parse_spec(SPEC)),
        steps=STEPS,
        history=tuple(row(k, 1 if k < 2 else 2) for k in range(1, epochs + 1)),
        environment={"python": "3.11", "cpu": EVIL},
        class_names=names(classes),
        splits={"training": (80,) * classes, "validation": (12,) * classes, "test": (12,) * classes},
        model=EvaluatedModel(role="best" if finished else "latest", stage=1, epoch=3, image_size=16),
        losses=dict.fromkeys(sets, 1.5),
        finished=finished,
        made_at=BEGUN,
        job=job() if told else None,
        attempts=attempts() if told else (),
        left_out=(f"3 files of kinds that are not read: 3 .heic {EVIL}",),
    )
    shown = {name: Shown(pictures, np.arange(9)) for name in sets}
    return ReportInputs(facts, found, shown, pictures[:5])
