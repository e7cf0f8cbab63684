"""Sends the history rows of finished epochs, and the files that belong to them."""

from __future__ import annotations

from itertools import islice

from baton.domain.spec import JobSpec
from baton.domain.wire import ClassifierRow
from worker.attempt.protocols import Control
from worker.checkpointing.snapshot import Snapshot
from worker.training.output.artifacts import PublishedFiles
from worker.training.state.cursor import BestEpoch, Cursor


class EpochRecorder:
    """Used by the training loop, which appends the rows to its cursor."""

    def __init__(self, spec: JobSpec, control: Control, files: PublishedFiles) -> None:
        self._spec, self._control, self._files = spec, control, files

    def send(self, cursor: Cursor, snapshot: Snapshot | None) -> None:
        """Sends the newest row and its files. `snapshot`: the state after that epoch, if it was saved."""
        row, best = cursor.history.last, cursor.best
        if snapshot is not None and best is not None and best.metric.epoch == row.epoch:
            self._files.best(best, snapshot)
        self._send_row(row, best)
        self._files.history(cursor.history)

    def begin(self, cursor: Cursor, snapshot: Snapshot | None) -> None:
        """Deletes the rows that earlier attempts recorded after the snapshot, and sends rows of it again.

        The attempt that wrote the snapshot may have ended before it sent them. These are the rows that were queued at
        the snapshot. If it is at the end of an epoch: also its row and files.
        """
        best = cursor.best.metric if cursor.best else None
        after_step = snapshot.position.global_step if snapshot else -1
        self._control.roll_back(after_step, cursor.history.last.epoch if len(cursor.history) else 0, best)
        if snapshot is None:
            return
        ended = snapshot.position.step == 0 and len(cursor.history) > 0
        if snapshot.rows_from is not None:
            for row in islice(cursor.history, snapshot.rows_from - 1, len(cursor.history) - ended):
                self._send_row(row, cursor.best)
        if ended:
            self.send(cursor, snapshot)

    def _send_row(self, row: ClassifierRow, best: BestEpoch | None) -> None:
        last = row.stage_epoch == self._spec.stages[row.stage - 1].epochs
        self._control.epoch(row, best.metric if best else None, last)
