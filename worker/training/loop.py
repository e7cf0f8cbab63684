"""The training loop over stages, epochs and steps. It can stop after any step, and another process can continue."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import count
from typing import NoReturn

from baton.domain.errors import JobFailure
from baton.domain.goodput import Bucket
from baton.domain.reasons import Reason
from baton.domain.spec import JobSpec
from baton.domain.wire import BestMetric, CheckpointRole, ClassifierRow, Phase, Position, Progress
from baton.telemetry import traces
from worker.attempt.protocols import Control, Stop, Stopped, Workspace
from worker.checkpointing.snapshot import Snapshot
from worker.training.data import ImageData
from worker.training.input.loading import Loader
from worker.training.input.source import Source, make_source
from worker.training.output.artifacts import PublishedFiles
from worker.training.output.epoch_recorder import EpochRecorder
from worker.training.output.evaluate_split import SplitEvaluation, evaluate_split, evaluate_splits, evaluation_size
from worker.training.start import position_of, resumed_schedule, take_weights
from worker.training.state.cursor import BestEpoch, Cursor, improves
from worker.training.state.schedules import RateSchedule, make_schedule
from worker.training.state.step_plan import StepPlan
from worker.training.state.throughput import Counters, ThroughputMeter
from worker.training.step.batch import Batch
from worker.training.step.engine import Engine, Score
from worker.training.step.evaluation_batches import EvaluationBatches, note_halved
from worker.training.step.finite import first_bad_array, first_bad_value, not_finite
from worker.training.step.memory import memory_errors
from worker.training.step.networks import network_outputs
from worker.training.step.self_check import SelfCheck

LATEST = frozenset({CheckpointRole.LATEST})
REPORT_SECONDS = 0.2
"""Minimum time between two progress reports while training."""


def train(spec: JobSpec, control: Control, workspace: Workspace, snapshot: Snapshot | None) -> dict[str, float]:
    """Implements worker.attempt.protocols.Trainer with Keras on TensorFlow."""
    with memory_errors():
        return TrainingLoop(spec, control, workspace, snapshot).run()


class TrainingLoop:
    """Trains a job in this process, from its start or from a snapshot, until the end or a stop."""

    def __init__(self, spec: JobSpec, control: Control, workspace: Workspace, snapshot: Snapshot | None) -> None:
        self._spec, self._control, self._workspace, self._watch = spec, control, workspace, control.watch
        self._trains = False  # whether the engine holds the state to resume from
        resumed = position_of(snapshot)
        self._loader = Loader(spec, control, workspace, resumed)
        first = self._data(spec.stages[resumed.position.stage if resumed else 0].image_size)
        self._plan = StepPlan.of(spec, len(first.train))
        outputs = network_outputs(spec, len(first.class_names))
        self._engine = Engine(spec, outputs, self._watch, xla=workspace.xla, steps_ahead=workspace.steps_ahead)
        self._check = SelfCheck(workspace.self_check, self._engine, control)
        self._files = PublishedFiles(control, workspace, self._plan, outputs)
        self._recorder = EpochRecorder(spec, control, self._files)
        self._speed, self._counters, self._reported = ThroughputMeter(), Counters(), 0.0
        self._cursor, self._at = Cursor(), self._plan.start_of(0)
        self._schedule = self._make_schedule()
        if resumed is not None:
            self._resume(resumed)
        elif snapshot is not None:
            take_weights(self._engine, snapshot, control)
        self._recorder.begin(self._cursor, resumed)
        self._batches = EvaluationBatches(spec, self._halved, self._cursor.evaluation_batches)

    def run(self) -> dict[str, float]:
        """Trains to the end of the last stage and evaluates the best model. Raises Stopped at a step boundary."""
        try:
            self._trains = True
            with self._watch.measure(Bucket.TRAINING):
                self._train_stage()
                while self._at.stage + 1 < len(self._spec.stages):
                    self._enter(self._at.stage + 1)
                    self._train_stage()
            with self._watch.measure(Bucket.EVALUATION):
                return self._finish()
        finally:
            self._files.close()
            self._loader.close()
            self._control.stands_at(self._at.global_step)

    # --- stages ---

    def _resume(self, snapshot: Snapshot) -> None:
        self._cursor, schedule = Cursor.load(snapshot.cursor)
        self._at = self._plan.fitted(snapshot.position) if self._loader.changed else snapshot.position
        self._control.tell(Phase.RESTORING)
        with self._watch.measure(Bucket.RESTORE):
            self._engine.load(snapshot.arrays)
        self._schedule = resumed_schedule(self._spec, self._engine, self._at.stage, schedule, snapshot, self._control)

    def _make_schedule(self) -> RateSchedule:
        return make_schedule(self._spec.stages[self._at.stage].schedule, self._engine.rate)

    def _enter(self, stage: int) -> None:
        best = self._cursor.stage_best
        if self._spec.stages[stage].start_from == "best" and best is not None:
            try:
                snapshot = self._load_best(best)
            except Stopped:
                self._stop(self._control.stopping())  # the engine still holds the state to resume from
            self._at = snapshot.position
            self._schedule.restore(Cursor.load(snapshot.cursor)[1])
        # The rate after the last step carries over to the next stage, as with a Keras optimizer.
        self._engine.rate = self._schedule.rate(self._at.epoch * self._plan.steps[self._at.stage] + self._at.step)
        self._engine.reset()
        self._cursor.stage_best = None
        self._at = self._plan.start_of(stage)
        self._schedule = self._make_schedule()

    def _load_best(self, best: BestEpoch) -> Snapshot:
        with self._watch.measure(Bucket.RESTORE):
            snapshot = self._control.load(best.prefix)
            self._engine.load(snapshot.arrays)
        return snapshot

    def _train_stage(self) -> None:
        stage, number = self._spec.stages[self._at.stage], self._at.stage
        train, validation = self._data(stage.image_size).train, self._data(evaluation_size(self._spec, number + 1)).val
        for text in self._engine.hold_only(train.images, validation.images):
            self._control.note("images_on_host", text)
        steps, processes = self._plan.steps[number], self._workspace.processes
        source = make_source(self._spec, self._engine, train, number, steps, processes, self._stop_or_save)
        try:
            with traces.span("stage", baton__stage=number + 1):
                while self._at.epoch < stage.epochs:
                    self._train_epoch(source)
        finally:
            with self._watch.measure(Bucket.OTHER):
                source.close()

    # --- epochs and steps ---

    def _train_epoch(self, source: Source) -> None:
        steps = self._plan.steps[self._at.stage]
        self._counters.images, self._counters.begun = 0, time.monotonic()
        self._report(Phase.TRAINING)
        if self._at.step < steps:
            # A schedule takes no input within an epoch, so the rates of the remaining steps are known.
            rates = map(self._schedule.rate, count(self._at.epoch * steps + self._at.step))
            batches = self._engine.ahead(source.batches(self._at.epoch, self._at.step), rates)
            for batch in self._watch.draw(batches, Bucket.DATA_LOADING):
                self._step(batch, self._at.epoch * steps + self._at.step)
        data = self._data(evaluation_size(self._spec, self._at.stage + 1))
        validation = self._validate(data)
        self._end_epoch(validation.score)
        self._files.partial_report(self._cursor.history, data, validation)

    def _step(self, batch: Batch, step_in_stage: int) -> None:
        self._stop_or_save()
        rate = self._schedule.rate(step_in_stage)
        self._check.before(self._at.stage, batch, rate)
        self._engine.train_step(batch.images, batch.labels, rate, batch.change, batch.records)
        self._at = self._at.model_copy(update={"step": self._at.step + 1, "global_step": self._at.global_step + 1})
        self._counters.steps += 1
        self._counters.images += len(batch.labels)
        self._speed.count(len(batch.labels))
        self._report(Phase.TRAINING)

    def _stop_or_save(self) -> None:
        if (stop := self._control.stopping()) is not None:
            self._stop(stop)
        if self._counters.steps and self._control.checkpoint_due(self._counters.steps):
            self._save(LATEST)

    def _stop(self, stop: Stop | None) -> NoReturn:
        if stop is not Stop.CANCELLED:
            self._save(LATEST)
        raise Stopped

    def _validate(self, data: ImageData) -> SplitEvaluation:
        self._report(Phase.VALIDATING)  # waits for the device: pending steps count as training
        with self._watch.measure(Bucket.VALIDATION):
            return evaluate_split(self._engine, data.val, self._stop_or_save, self._batches, self._at.stage + 1)

    def _halved(self, pixels: int, before: int, after: int) -> None:
        note_halved(self._control, self._spec, self._cursor.history, pixels, before, after)
        if self._trains:
            self._save(LATEST)  # saved at once, because a resumed attempt must use the same batch sizes from here on

    def _end_epoch(self, validation: Score) -> None:
        row = self._row(self._engine.train_score(), validation)
        logs = dict(row.metrics)
        if (bad := first_bad_value(logs)) is not None:
            self._cursor.history.append(row)
            self._recorder.send(self._cursor, None)
            raise not_finite(bad, row.global_step)
        self._schedule.epoch_end(logs)
        self._cursor.history.append(row)
        self._engine.reset()
        self._at = Position(stage=self._at.stage, epoch=self._at.epoch + 1, step=0, global_step=self._at.global_step)
        self._recorder.send(self._cursor, self._keep_best(row))
        self._control.tell(Phase.TRAINING, self._progress(), logs)

    def _row(self, training: Score, validation: Score) -> ClassifierRow:
        stage, at, counters = self._spec.stages[self._at.stage], self._at, self._counters
        seconds = time.monotonic() - counters.begun
        return ClassifierRow(
            epoch=self._plan.epochs_before(at.stage) + at.epoch + 1,
            stage=at.stage + 1,
            stage_epoch=at.epoch + 1,
            global_step=at.global_step,
            image_size=stage.image_size,
            batch_size=stage.batch_size,
            learning_rate=self._schedule.rate((at.epoch + 1) * self._plan.steps[at.stage] - 1),
            loss=training.loss,
            accuracy=training.accuracy,
            val_loss=validation.loss,
            val_accuracy=validation.accuracy,
            attempt=self._control.attempt,
            seconds=seconds,
            images_per_second=counters.images / seconds,
            finished_at=datetime.now(UTC),
        )

    # --- checkpoints ---

    def _keep_best(self, row: ClassifierRow) -> Snapshot | None:
        prefix = self._control.name_checkpoint(self._at.global_step)
        metric = BestMetric(metric="val_accuracy", value=row.val_accuracy, stage=row.stage, epoch=row.epoch)
        found, roles = BestEpoch(metric=metric, prefix=prefix), set(LATEST)
        if improves(row.val_accuracy, self._cursor.stage_best):
            self._cursor.stage_best = found
            roles.add(CheckpointRole.STAGE_BEST)
        if improves(row.val_accuracy, self._cursor.best):
            self._cursor.best = found
            roles.add(CheckpointRole.BEST)
        return self._save(frozenset(roles), prefix) if roles > LATEST else None

    def _save(self, roles: frozenset[CheckpointRole], prefix: str | None = None) -> Snapshot:
        self._engine.wait()  # so that the time of pending steps does not count as time of the save
        self._check_loss()
        with self._watch.measure(Bucket.CHECKPOINT_STALL):
            cursor = self._cursor.dump(self._schedule.state(), self._loader.record)
            history = self._cursor.history.taken()
            snapshot = Snapshot(self._at, self._engine.arrays(), cursor, self._cursor.needs, history=history)
            # Summing all arrays takes time, so check only states that may become a best checkpoint or the result.
            checked = roles > LATEST or self._at.global_step == self._plan.total_steps
            if checked and (bad := first_bad_array(snapshot.arrays)) is not None:
                raise not_finite(f"the state {bad} holds values that are nan or infinite", self._at.global_step)
            self._control.save(prefix or self._control.name_checkpoint(self._at.global_step), snapshot, roles)
            self._counters.steps = 0
            self._files.latest(snapshot)
        return snapshot

    # --- the end of the job ---

    def _finish(self) -> dict[str, float]:
        self._files.latest(self._save(LATEST), now=True)
        self._trains = False
        self._report(Phase.EVALUATING)
        best = self._cursor.best
        if best is None:
            raise JobFailure(Reason.EXCEPTION, "the job has no finished epoch, so it has no result")
        # Send these files again: an earlier attempt may have been stopped before it sent them.
        self._files.best(best, self._load_best(best))
        self._files.history(self._cursor.history)
        data = self._data(evaluation_size(self._spec, best.metric.stage))
        sets = evaluate_splits(self._engine, data, self._stop_without_saving, self._batches, best.metric.stage)
        numbers = self._files.evaluation(best.metric, self._cursor.history, data, sets, self._stop_without_saving)
        return numbers | {"val_accuracy": best.metric.value, "best_epoch": float(best.metric.epoch)}

    def _stop_without_saving(self) -> None:
        # The engine now holds the best model. The state to resume from is already saved.
        if self._control.stopping() is not None:
            raise Stopped

    # --- progress and data ---

    def _report(self, phase: Phase) -> None:
        now = time.monotonic()
        if phase is not Phase.TRAINING or now - self._reported > REPORT_SECONDS:
            # Wait, so that only finished steps are reported. A stop then also waits for little pending work.
            self._engine.wait()
            self._check_loss()
            self._reported = time.monotonic()
            self._control.tell(phase, self._progress())

    def _progress(self) -> Progress:
        found = self._plan.progress(self._at, self._speed.images_per_second)
        return found.model_copy(update={"files_left_out": self._loader.left_out.total})

    def _check_loss(self) -> None:
        """Raises JobFailure: not_finite, with the step of this epoch at which the loss became nan or infinite."""
        if not self._trains:
            return
        bad = self._engine.first_step_not_finite(self._spec.stages[self._at.stage].batch_size)
        if bad is not None:
            raise not_finite("the loss is nan or infinite", self._at.global_step - self._at.step + bad)

    def _data(self, size: int) -> ImageData:
        # Loading a later stage's images takes time, so a stop or a save of the last steps must be possible meanwhile.
        return self._loader.at(size, self._stop_or_save if self._trains else self._stop_without_saving)
