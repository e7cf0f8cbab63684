"""The step counts of a job, from its spec and the number of training images, and positions in it. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from baton.domain.spec import JobSpec
from baton.domain.step_counts import steps_per_epoch
from baton.domain.wire import Position, Progress


@dataclass(frozen=True)
class StepPlan:
    """The plan of a job's steps. `steps`: the steps per epoch of each stage. Counts stages and epochs from 0."""

    spec: JobSpec
    steps: tuple[int, ...]

    @classmethod
    def of(cls, spec: JobSpec, images: int) -> StepPlan:
        """The plan for a number of training images."""
        return cls(spec, tuple(steps_per_epoch(stage, images) for stage in spec.stages))

    @property
    def total_steps(self) -> int:
        """Steps of all stages."""
        return sum(n * stage.epochs for n, stage in zip(self.steps, self.spec.stages, strict=True))

    def epochs_before(self, stage: int) -> int:
        """Epochs of all stages before this one."""
        return sum(s.epochs for s in self.spec.stages[:stage])

    def start_of(self, stage: int) -> Position:
        """The position at the start of a stage."""
        done = sum(n * s.epochs for n, s in zip(self.steps[:stage], self.spec.stages[:stage], strict=True))
        return Position(stage=stage, epoch=0, step=0, global_step=done)

    def fitted(self, at: Position) -> Position:
        """The position of this stage, epoch and step in this plan. The step is at most the epoch's number of steps."""
        step = min(at.step, self.steps[at.stage])
        done = self.start_of(at.stage).global_step + at.epoch * self.steps[at.stage] + step
        return at.model_copy(update={"step": step, "global_step": done})

    def stage_name(self, stage: int) -> str:
        """The name of a stage in the spec, or a name made from its number, counted from 1."""
        return self.spec.stages[stage].name or f"stage-{stage + 1}"

    def progress(self, at: Position, images_per_second: float | None) -> Progress:
        """The progress that users see at a position. `eta_seconds` counts the time of training images only."""
        stage = self.spec.stages[at.stage]
        epoch = min(at.epoch, stage.epochs - 1)
        left = self._images_left(at)
        return Progress(
            stage=at.stage + 1,
            stages=len(self.steps),
            epoch=self.epochs_before(at.stage) + epoch + 1,
            epochs=self.spec.total_epochs,
            step=at.step if at.epoch == epoch else self.steps[at.stage],
            steps=self.steps[at.stage],
            global_step=at.global_step,
            total_steps=self.total_steps,
            images_per_second=images_per_second,
            eta_seconds=left / images_per_second if images_per_second else None,
        )

    def _images_left(self, at: Position) -> int:
        ends = [self.start_of(k + 1).global_step for k in range(len(self.steps))]
        starts = [self.start_of(k).global_step for k in range(len(self.steps))]
        spans = zip(starts, ends, self.spec.stages, strict=True)
        return sum(max(0, end - max(start, at.global_step)) * stage.batch_size for start, end, stage in spans)
