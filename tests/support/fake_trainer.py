"""A trainer that takes milliseconds, for tests of everything around training.

Its state shows a lost or repeated step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from baton.domain.spec import JobSpec
from baton.domain.wire import BestMetric, CheckpointRole, EpochRow, Phase, Position
from worker.attempt.protocols import Control, Stopped, Workspace
from worker.checkpointing.snapshot import Snapshot
from worker.training.state.step_plan import StepPlan

LATEST = frozenset({CheckpointRole.LATEST})
BEST = LATEST | {CheckpointRole.BEST}
ARTIFACT = "state.txt"


def after(state: bytes, step: int) -> bytes:
    """The state after one more step. It is a hash chain, so it depends on every step and on their order."""
    return hashlib.sha256(state + step.to_bytes(8)).digest()


def final_state(steps: int) -> bytes:
    """The state at the end of an uninterrupted run of this many steps."""
    state = b"start"
    for step in range(steps):
        state = after(state, step)
    return state


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _best(row: EpochRow) -> BestMetric:
    return BestMetric(metric="val_accuracy", value=row.epoch / 1000, stage=row.stage, epoch=row.epoch)


@dataclass
class FakeTrainer:
    """Implements worker.attempt.protocols.Trainer. `before_step` is called before each global step and may do anything.

    `patient`: wait until each checkpoint is saved. A real trainer continues, and a newer checkpoint may replace it.
    `publishes`: publish a file with the state after each epoch and at the end.
    """

    before_step: Callable[[int], None] = lambda _step: None
    started_at: list[int] = field(default_factory=list)
    state: bytes = b"start"
    rows: list[EpochRow] = field(default_factory=list)
    patient: bool = True
    publishes: bool = False

    def __call__(
        self, spec: JobSpec, control: Control, workspace: Workspace, snapshot: Snapshot | None
    ) -> dict[str, float]:
        """Run all steps of all stages. Every epoch counts as the best so far."""
        plan = StepPlan.of(spec, 1)
        at = snapshot.position if snapshot else plan.start_of(0)
        self.state, self.rows = b"start", []
        self._begin(plan, control, snapshot)
        self.started_at.append(at.global_step)
        unsaved = 0
        while at.global_step < plan.total_steps:
            control.stands_at(at.global_step)
            if control.stopping() is not None:
                self._save(control, at, LATEST)
                raise Stopped
            self.before_step(at.global_step)
            self.state = after(self.state, at.global_step)
            at, unsaved = self._advance(plan, control, at), unsaved + 1
            control.tell(Phase.TRAINING, plan.progress(at, 1000.0))
            if control.checkpoint_due(unsaved):
                self._save(control, at, LATEST)
                unsaved = 0
        # Publish again: an attempt that was stopped after its last checkpoint may not have published it.
        self._publish(control)
        return {"last_byte": float(self.state[-1])}

    def _publish(self, control: Control) -> None:
        if self.publishes:
            text = self.state.hex()
            control.publish(ARTIFACT, lambda path: _write(path, text), "text/plain")

    def _advance(self, plan: StepPlan, control: Control, at: Position) -> Position:
        step, total = at.step + 1, at.global_step + 1
        if step < plan.steps[at.stage]:
            return at.model_copy(update={"step": step, "global_step": total})
        stage_done = at.epoch + 1 == plan.spec.stages[at.stage].epochs
        following = at.model_copy(update={"epoch": at.epoch + 1, "step": 0, "global_step": total})
        if stage_done and at.stage + 1 < len(plan.steps):
            following = plan.start_of(at.stage + 1)
        self._record(plan, control, at, total)
        self._save(control, following, BEST)
        self._publish(control)
        return following

    def _record(self, plan: StepPlan, control: Control, at: Position, total: int) -> None:
        stage, epoch = plan.spec.stages[at.stage], plan.epochs_before(at.stage) + at.epoch + 1
        row = EpochRow(
            epoch=epoch,
            stage=at.stage + 1,
            stage_epoch=at.epoch + 1,
            global_step=total,
            image_size=stage.image_size,
            batch_size=stage.batch_size,
            learning_rate=0.1,
            loss=float(self.state[0]),
            accuracy=0.5,
            val_loss=float(self.state[1]),
            val_accuracy=epoch / 1000,
            attempt=control.attempt,
            seconds=1.0,
            images_per_second=1.0,
            finished_at=datetime.now(UTC),
        )
        self.rows.append(row)
        self._tell(plan, control, row)

    def _tell(self, plan: StepPlan, control: Control, row: EpochRow) -> None:
        control.epoch(row, _best(row), row.stage_epoch == plan.spec.stages[row.stage - 1].epochs)

    def _begin(self, plan: StepPlan, control: Control, snapshot: Snapshot | None) -> None:
        """Continue from a snapshot. Record the rows that were not recorded when it was written."""
        if snapshot is not None:
            self.state = snapshot.arrays["state"].tobytes()
            self.rows = [EpochRow.model_validate(row) for row in snapshot.cursor.get("rows", [])]
        last = self.rows[-1] if self.rows else None
        step = snapshot.position.global_step if snapshot else -1
        control.roll_back(step, last.epoch if last else 0, _best(last) if last else None)
        if snapshot is not None and snapshot.rows_from is not None:
            for row in self.rows[snapshot.rows_from - 1 :]:
                self._tell(plan, control, row)

    def _save(self, control: Control, at: Position, roles: frozenset[CheckpointRole]) -> None:
        arrays = {"state": np.frombuffer(self.state, np.uint8).copy()}
        prefix = control.name_checkpoint(at.global_step)
        cursor = {"rows": [row.model_dump(mode="json") for row in self.rows]}
        control.save(prefix, Snapshot(at, arrays, cursor), roles)
        if self.patient:
            control.load(prefix)
