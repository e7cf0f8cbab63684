"""What a checkpoint of a program contains beside its files, and what its program has told so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from baton.domain.spec.program import MonitorSpec
from baton.domain.wire import EpochRow


class ProgramCursor(BaseModel):
    """The cursor as stored in a checkpoint. `cursor`: that of the program. `epoch`: as the program gave it.

    `last_epoch`: of the last row that belongs to the checkpoint. `last_point`: the largest step of its points.
    `best_saved`: the best value of a checkpoint. `best_by`: mode and metric of the `monitor` by which it is the best;
    None in checkpoints of earlier releases.
    """

    model_config = ConfigDict(ser_json_inf_nan="strings")

    cursor: dict[str, Any] = {}
    epoch: int = 0
    last_epoch: int | None = None
    last_point: int | None = None
    best_saved: float | None = None
    best_by: str | None = None
    history: list[EpochRow] = []

    def best_for(self, monitor: MonitorSpec | None) -> float | None:
        """`best_saved`, unless it is the best by another monitor: a job may start from a job with another one."""
        return self.best_saved if self.best_by in (None, shown(monitor)) else None


def shown(monitor: MonitorSpec | None) -> str | None:
    """Mode and metric as text."""
    return None if monitor is None else f"{monitor.mode} {monitor.metric}"


@dataclass
class Heard:
    """What the program has told so far. `saved_at`, `active_at`: of time.monotonic. `stopped`: it raised Stopped."""

    step: int | None = None
    saved_step: int = 0
    saved_at: float | None = None
    active: bool = False
    stopped: bool = False
    calls: int = -1
