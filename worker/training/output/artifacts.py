"""The files that a job publishes, and when each of them is sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from baton.domain.evaluation import FILE, EvaluatedModel
from baton.domain.wire import BestMetric
from worker.attempt.protocols import Control, Workspace
from worker.checkpointing.snapshot import Snapshot
from worker.training.data import ImageData
from worker.training.evaluation import main_numbers
from worker.training.output.evaluate_split import SplitEvaluation, evaluation_size, make_evaluation
from worker.training.output.exports import KERAS_FILE, ModelFiles
from worker.training.output.readback import Readback
from worker.training.output.report.inputs import ReportInputs
from worker.training.output.report_inputs import gather
from worker.training.output.report_process import ReportProcess
from worker.training.state.cursor import BestEpoch
from worker.training.state.history import CSV_FILE, History, history_writer
from worker.training.state.step_plan import StepPlan

JSON_FILE = "application/json"
LATEST_SECONDS = 30.0


class PublishedFiles:
    """Queues files. The control writes and sends them later."""

    def __init__(self, control: Control, workspace: Workspace, plan: StepPlan, outputs: int) -> None:
        self._control, self._plan, self._outputs = control, plan, outputs
        self._models, self._workspace = ModelFiles(plan.spec, outputs), workspace
        self._reports = ReportProcess(control, enabled=workspace.reports)
        self._readback = Readback(control, plan.spec.network.name, enabled=workspace.reports)
        self._latest_sent = 0.0
        self._best_epoch = 0  # the epoch that this process has sent as best.keras

    def latest(self, snapshot: Snapshot, *, now: bool = False) -> None:
        """Publishes latest.keras, at most every LATEST_SECONDS unless `now`."""
        if now or time.monotonic() - self._latest_sent > LATEST_SECONDS:
            self._latest_sent = time.monotonic()
            self._publish_model("latest.keras", snapshot)

    def best(self, best: BestEpoch, snapshot: Snapshot) -> None:
        """Publishes best.keras, once for each best epoch."""
        if self._best_epoch != best.metric.epoch:
            self._best_epoch = best.metric.epoch
            self._publish_model("best.keras", snapshot, self._lost_best)

    def _lost_best(self) -> None:
        self._best_epoch = 0  # it is published again at the end of the job

    def _publish_model(self, name: str, snapshot: Snapshot, lost: Callable[[], None] = lambda: None) -> None:
        write = self._readback.watching(name, self._models.writer(snapshot.arrays))
        self._control.publish(name, write, KERAS_FILE, lost)

    def history(self, rows: History) -> None:
        """Publishes history.csv."""
        self._control.publish("history.csv", history_writer(rows.taken()), CSV_FILE)

    def evaluation(
        self,
        best: BestMetric,
        rows: History,
        data: ImageData,
        sets: Mapping[str, SplitEvaluation],
        between: Callable[[], None],
    ) -> dict[str, float]:
        """Publishes evaluation.json and the final report. Returns the main numbers. `between` may raise to stop."""
        model = self._model("best", best.stage, best.epoch)
        evaluation = make_evaluation(self._plan.spec, model, data.class_names, self._outputs, sets)

        def write(path: Path) -> None:
            path.write_text(evaluation.model_dump_json(), encoding="utf-8")

        self._control.publish(FILE, write, JSON_FILE)
        self._reports.finish(lambda: self._report_inputs(model, rows, data, sets, finished=True), between)
        self._readback.finish(between)
        return main_numbers(evaluation)

    def partial_report(self, rows: History, data: ImageData, validation: SplitEvaluation) -> None:
        """Publishes an interim report.html, made in the background, if one is due."""
        model = self._model("latest", rows.last.stage, rows.last.epoch)
        self._reports.offer(lambda: self._report_inputs(model, rows, data, {"validation": validation}))

    def close(self) -> None:
        """Cancels a report and a check of a model file that are in progress. After that, nothing more is sent."""
        self._reports.close()
        self._readback.close()

    def _model(self, role: str, stage: int, epoch: int) -> EvaluatedModel:
        return EvaluatedModel(role=role, stage=stage, epoch=epoch, image_size=evaluation_size(self._plan.spec, stage))

    def _report_inputs(
        self,
        model: EvaluatedModel,
        rows: History,
        data: ImageData,
        sets: Mapping[str, SplitEvaluation],
        *,
        finished: bool = False,
    ) -> ReportInputs:
        return gather(
            self._plan,
            model,
            tuple(rows),
            data,
            sets,
            outputs=self._outputs,
            workspace=self._workspace,
            finished=finished,
        )
