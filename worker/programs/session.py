"""What a program tells the worker: saves, points, rows, files and signs of life, and what a checkpoint contains."""

from __future__ import annotations

import json
import mimetypes
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from baton.domain.artifact_names import is_artifact_name
from baton.domain.epochs import improves
from baton.domain.program_limits import too_many_epochs
from baton.domain.spec import ProgramJobSpec
from baton.domain.wire import CheckpointRole, Phase, Position, Progress
from baton.program import protocol
from baton.program.protocol import MAX_CURSOR, SavedState, Welcome
from baton.storage.port import OCTETS
from worker.attempt.protocols import ProgramControl
from worker.checkpointing.saved_folder import SavedFolder, UnusableFolder
from worker.checkpointing.series_buffer import Point
from worker.checkpointing.snapshot import Snapshot
from worker.ipc.progress import advanced
from worker.programs.points import is_allowed
from worker.programs.rows import Rows, program_row
from worker.programs.server import RequestError
from worker.programs.state import Heard, ProgramCursor, shown

MAX_NOTES = 1_000
"""Notes of an attempt. Further ones are left out."""
MAX_SHOWN = 20
"""Newest values of series that a heartbeat contains."""
ROWS_BEFORE_MISSING = 5
"""A metric may be measured only every few epochs."""
UNKNOWN_STALL_SECONDS = 1.0
"""The assumed cost of a save if the program does not tell it."""


class ProgramSession:
    """Does the requests of a program in one attempt. `handle` is called in the thread of its connection.

    `scratch`: the folder of the attempt. `data`: paths of pushed data by name.
    """

    def __init__(
        self,
        spec: ProgramJobSpec,
        control: ProgramControl,
        scratch: Path,
        data: Mapping[str, Path],
        snapshot: Snapshot | None,
    ) -> None:
        self._spec, self._control, self._data, self._snapshot = spec, control, dict(data), snapshot
        self._cursor = ProgramCursor.model_validate(snapshot.cursor) if snapshot else ProgramCursor()
        self._rows = Rows(spec.monitor, self._cursor.history)
        self._best_saved = self._cursor.best_for(spec.monitor)
        self._told_missing = False
        self._numbers = count(1)
        self._progress = protocol.Progress()
        self._shown: dict[str, float] = {}
        self._notes = 0
        self._lock = threading.Lock()
        self._row_at = self._begun = time.monotonic()
        self._begun_step: int | None = None
        self.heard = Heard(saved_step=snapshot.position.global_step if snapshot else 0)
        self.staging, self._saves, self._files = scratch / "staging", scratch / "saves", scratch / "published"
        for folder in (self.staging, self._saves, self._files):
            folder.mkdir()

    @property
    def position(self) -> int:
        """The step at which this attempt begins."""
        return self._snapshot.position.global_step if self._snapshot else 0

    @property
    def last_point(self) -> int:
        """The largest step of the points that belong to the restored checkpoint; -1 without one."""
        found = self._cursor.last_point if self._snapshot else None
        return -1 if found is None else found

    def results(self) -> dict[str, float]:
        """The metrics of the last row."""
        return dict(self._rows.last.metrics) if self._rows.last else {}

    def tell_missing_metric(self) -> None:
        """Adds an event if `monitor` names a metric that no row and no save has had so far."""
        if not self._told_missing and (text := self._rows.missing()):
            self._told_missing = True
            self._control.note("metric_missing", text)

    def begin(self) -> None:
        """Deletes what earlier attempts recorded after the restored checkpoint. Records again what they had not sent.

        Raises LeaseLost and Stopped.
        """
        last = self._rows.last
        self._control.roll_back(self.last_point, last.epoch if last else 0, self._rows.best)
        if self._snapshot is not None and self._snapshot.rows_from is not None:
            for row in self._rows.since(self._snapshot.rows_from):
                self._control.epoch(row, self._rows.best, stage_finished=False)

    def welcome(self) -> Welcome:
        """The answer to a program that attaches."""
        saved = self._snapshot
        state = None
        if saved is not None and isinstance(saved.state, SavedFolder):
            saved.state.path.mkdir(exist_ok=True)  # a checkpoint without files
            cursor = self._cursor
            step = saved.position.global_step
            state = vars(SavedState(step, cursor.epoch, cursor.cursor, str(saved.state.path), cursor.last_epoch))
        return Welcome(
            job=self._control.job_id,
            name=self._spec.name,
            attempt=self._control.attempt,
            staging=str(self.staging),
            params=self._spec.params,
            data={name: str(path) for name, path in self._data.items()},
            saved=state,
        )

    def handle(self, request: protocol.Request) -> dict[str, Any]:
        """Does a request. Raises RequestError, and what the control raises: LeaseLost, JobFailure."""
        requests: dict[type[protocol.Request], Callable[[Any], None]] = {
            protocol.Log: self._log,
            protocol.Epoch: self._epoch,
            protocol.Save: self._save,
            protocol.Publish: self._publish,
            protocol.Progress: self._keep_progress,
            protocol.Note: self._note,
            protocol.Step: self._step,
            protocol.Stopped: self._stopped,
            protocol.Hello: self._hello_again,
        }
        with self._lock:
            requests[type(request)](request)
        return {}

    def _keep_progress(self, request: protocol.Progress) -> None:
        self._progress = request
        if self.heard.active:  # the last one may come at the very end, without a step after it
            self._control.tell(Phase.TRAINING, self._shown_progress(), self._shown)

    def _step(self, request: protocol.Step) -> None:
        if request.calls != self.heard.calls:
            self.heard.calls = request.calls
            self._advanced(request.step)

    def _stopped(self, _request: protocol.Stopped) -> None:
        self.heard.stopped = True

    def _hello_again(self, _request: protocol.Hello) -> None:
        raise RequestError("this program is attached already")

    def _advanced(self, step: int | None) -> None:
        """The program has made progress, and has perhaps finished or begun this step."""
        heard = self.heard
        if step is not None and step != heard.step:
            heard.step = step
            self._control.stands_at(step)
            self._control.stopping()  # a step boundary, for the time that a hand-over needs
        heard.active = True
        self._control.tell(Phase.TRAINING, self._shown_progress(), self._shown)
        advanced()

    def _shown_progress(self) -> Progress | None:
        step, told = self.heard.step, self._progress
        if step is None and told.step is None:
            return None
        now = max(step or 0, told.step or 0)
        total = max(told.total, now) if told.total else 0
        if self._begun_step is None:
            self._begun_step, self._begun = now, time.monotonic()
        rate = (now - self._begun_step) / max(time.monotonic() - self._begun, 1e-3)
        epoch = told.epoch if told.epoch is not None else (self._rows.last.epoch if self._rows.last else 0)
        return Progress(
            stage=0,
            stages=0,
            epoch=epoch,
            epochs=max(told.epochs, epoch) if told.epochs else 0,
            step=0,
            steps=0,
            global_step=now,
            total_steps=total,
            eta_seconds=(total - now) / rate if total and rate else None,
        )

    def _log(self, request: protocol.Log) -> None:
        wrong = next((one for one in request.points if not is_allowed(one)), None)
        if wrong is not None:
            raise RequestError(f"{str(wrong)[:200]} is not a point: name, step, finite number, Unix seconds")
        points = [Point(*one) for one in request.points]
        for point in points:
            if point.name in self._shown or len(self._shown) < MAX_SHOWN:
                self._shown[point.name] = point.value
        self._control.series(points)
        self._advanced(max((point.step for point in points), default=None))

    def _epoch(self, request: protocol.Epoch) -> None:
        last = self._rows.last
        if request.epoch < 1:
            raise RequestError("rows count from 1: pass epoch=epoch + 1")
        if last is not None and request.epoch <= last.epoch:
            raise RequestError(f"{request.epoch} comes after {last.epoch}, and epochs only increase")
        if problem := too_many_epochs(request.epoch):
            raise RequestError(problem)
        now = time.monotonic()
        try:
            row = program_row(
                epoch=request.epoch,
                step=request.step,
                metrics=request.metrics,
                attempt=self._control.attempt,
                seconds=now - self._row_at,
            )
        except ValidationError as error:
            raise RequestError(str(error.errors()[0]["msg"])) from error
        self._row_at = now
        self._control.epoch(row, self._rows.append(row), stage_finished=False)
        if len(self._rows) >= ROWS_BEFORE_MISSING:
            self.tell_missing_metric()
        self._advanced(request.step)

    def _save(self, request: protocol.Save) -> None:
        folder = self._take(request)
        try:
            snapshot, roles = self._snapshot_of(request, folder)
        except ValueError as error:  # of Pydantic: too many objects in each other
            folder.remove()
            raise RequestError(f"the cursor cannot be stored ({error}); write it into a file of the save") from error
        self._rows.names.update(request.metrics)
        self._control.save(
            self._control.name_checkpoint(request.step),
            snapshot,
            roles,
            stall=UNKNOWN_STALL_SECONDS if request.stall is None else request.stall,
            last_point=request.last_point_step,
            settled=folder.remove,
        )
        self.heard.saved_step, self.heard.saved_at = request.step, time.monotonic()
        self._advanced(request.step)

    def _snapshot_of(self, request: protocol.Save, folder: SavedFolder) -> tuple[Snapshot, frozenset[CheckpointRole]]:
        monitor = self._spec.monitor
        value = request.metrics.get(monitor.metric) if monitor else None
        roles, best = {CheckpointRole.LATEST}, self._best_saved
        if monitor is not None and value is not None and improves(value, best, monitor.mode):
            roles, best = {*roles, CheckpointRole.BEST}, value
        history = self._rows.taken(request.last_epoch)
        cursor = ProgramCursor(
            cursor=request.cursor,
            epoch=request.epoch,
            last_epoch=request.last_epoch,
            last_point=request.last_point_step,
            best_saved=best,
            best_by=shown(monitor),
        )
        position = Position(stage=0, epoch=0, step=request.step, global_step=request.step)
        stored = cursor.model_dump(mode="json", exclude={"history"})
        self._best_saved = best
        return Snapshot(position, folder, stored, history=history), frozenset(roles)

    def _take(self, request: protocol.Save) -> SavedFolder:
        """Moves the folder of a save away from the program, and checks it."""
        source = Path(request.folder)
        if source.parent != self.staging or source.is_symlink() or not source.is_dir():
            raise RequestError(f"{request.folder} is not a folder in {self.staging}")
        if request.step < self.heard.saved_step:
            raise RequestError(f"step {request.step} is before the last save at step {self.heard.saved_step}")
        if len(json.dumps(request.cursor)) > MAX_CURSOR:
            raise RequestError(f"the cursor has more than {MAX_CURSOR} bytes as JSON; write it into a file")
        folder = SavedFolder(self._saves / str(next(self._numbers)))
        source.rename(folder.path)
        try:
            folder.files()
        except UnusableFolder as error:
            folder.remove()
            raise RequestError(str(error)) from error
        return folder

    def _publish(self, request: protocol.Publish) -> None:
        if not is_artifact_name(request.name):
            raise RequestError(f"{request.name!r} cannot be the name of a file of the job; use another one")
        copy = self._files / str(next(self._numbers))
        try:
            shutil.copyfile(request.path, copy)
        except OSError as error:
            raise RequestError(f"{request.path} cannot be copied: {error.strerror or error}") from error
        self._control.publish(
            request.name,
            lambda path: _copy(copy, path),
            mimetypes.guess_type(request.name)[0] or OCTETS,
            settled=lambda: copy.unlink(missing_ok=True),
        )
        advanced()

    def _note(self, request: protocol.Note) -> None:
        self._notes += 1
        if self._notes <= MAX_NOTES:
            self._control.note("program", request.text)


def _copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)  # the copy does not change any more
    except OSError:  # another file system
        shutil.copyfile(source, target)
