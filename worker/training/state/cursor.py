"""The state of a run apart from arrays and position, as JSON: schedule, history, best epochs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from baton.domain import epochs
from baton.domain.data_identity import DataRecord
from baton.domain.wire import BestMetric, ClassifierRow
from worker.training.state.history import History


class BestEpoch(BaseModel):
    """The best validated epoch so far, and the checkpoint with its state."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    metric: BestMetric
    prefix: str


class CursorData(BaseModel):
    """The cursor as stored in a checkpoint. `data`: None if the checkpoint is of a version that did not record it.

    `evaluation_batches`: see EvaluationBatches.
    """

    model_config = ConfigDict(ser_json_inf_nan="strings")

    schedule: dict[str, float | int]
    history: list[ClassifierRow] = []
    best: BestEpoch | None
    stage_best: BestEpoch | None
    data: DataRecord | None = None
    evaluation_batches: dict[int, int] = {}


@dataclass
class Cursor:
    """The part of the state that the training loop changes. `stage_best`: the best epoch of the current stage."""

    history: History = field(default_factory=History)
    best: BestEpoch | None = None
    stage_best: BestEpoch | None = None
    evaluation_batches: dict[int, int] = field(default_factory=dict)

    def dump(self, schedule: dict[str, float | int], data: DataRecord | None = None) -> dict[str, Any]:
        """The cursor without the history, the schedule's state and the data record, as JSON data."""
        found = CursorData(
            schedule=schedule,
            best=self.best,
            stage_best=self.stage_best,
            data=data,
            evaluation_batches=self.evaluation_batches,
        )
        return found.model_dump(mode="json", exclude={"history"})

    @classmethod
    def load(cls, data: dict[str, Any]) -> tuple[Cursor, dict[str, float | int]]:
        """The cursor and the schedule's state."""
        read = CursorData.model_validate(data)
        return cls(History(read.history), read.best, read.stage_best, read.evaluation_batches), read.schedule

    @property
    def needs(self) -> tuple[str, ...]:
        """The prefixes of the checkpoints that this cursor refers to."""
        return tuple(sorted({b.prefix for b in (self.best, self.stage_best) if b is not None}))


def improves(accuracy: float, best: BestEpoch | None) -> bool:
    """Whether an epoch is the new best. Its accuracy must be higher, so the first of equal epochs stays the best."""
    return epochs.improves(accuracy, best.metric.value if best else None, "max")
