"""The rows of the history that a program records, and the best of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from baton.domain.epochs import improves
from baton.domain.spec import MonitorSpec
from baton.domain.wire import BestMetric, EpochRow

SHOWN = 20
"""Names in a message."""


def program_row(*, epoch: int, step: int, metrics: Mapping[str, float], attempt: int, seconds: float) -> EpochRow:
    """The row of an epoch of a program. `seconds`: since the row before it. Raises ValidationError."""
    return EpochRow(
        epoch=epoch,
        stage=1,
        stage_epoch=epoch,
        global_step=step,
        attempt=attempt,
        seconds=seconds,
        finished_at=datetime.now(UTC),
        metrics=dict(metrics),
    )


class Rows:
    """Rows in the order of their epochs. Rows are only appended; other threads may read what `taken` returned.

    `best`: the best metric so far by `monitor`. `names`: of all metrics of rows and saves so far.
    """

    def __init__(self, monitor: MonitorSpec | None, rows: Iterable[EpochRow] = ()) -> None:
        self._monitor = monitor
        self._rows: list[EpochRow] = []
        self._json: list[bytes] = []
        self.best: BestMetric | None = None
        self.names = set[str]()
        for row in rows:
            self.append(row)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def last(self) -> EpochRow | None:
        """The newest row."""
        return self._rows[-1] if self._rows else None

    def since(self, epoch: int) -> list[EpochRow]:
        """The rows from this epoch on."""
        return [row for row in self._rows if row.epoch >= epoch]

    def append(self, row: EpochRow) -> BestMetric | None:
        """Adds a row. Returns the best metric so far."""
        self._rows.append(row)
        self.names.update(row.metrics)
        self._json.append(row.model_dump_json().encode())
        monitor, best = self._monitor, self.best.value if self.best else None
        value = None if monitor is None else row.metrics.get(monitor.metric)
        if monitor is not None and value is not None and improves(value, best, monitor.mode):
            self.best = BestMetric(metric=monitor.metric, value=value, stage=1, epoch=row.epoch)
        return self.best

    def missing(self) -> str | None:
        """What to do if `monitor` names a metric that no row and no save has had; None: it has come, or is not set."""
        monitor = self._monitor
        if monitor is None or self.best is not None or monitor.metric in self.names:
            return None
        names = ", ".join(sorted(self.names)[:SHOWN]) or "no metric"
        return (
            f"no row and no save has the metric {monitor.metric} of `monitor` so far, only: {names}. Pass it to "
            "run.epoch(), and to run.save(metrics=...) for the best checkpoint; run.log() does not count"
        )

    def taken(self, last_epoch: int | None) -> TakenRows:
        """The rows up to this epoch; None: no row."""
        count = sum(1 for row in self._rows if last_epoch is not None and row.epoch <= last_epoch)
        return TakenRows(count, self._json)


@dataclass(frozen=True)
class TakenRows:
    """The first `count` rows. Safe in any thread, because rows are only appended."""

    count: int
    rows_json: list[bytes]

    def json(self) -> bytes:
        """A JSON array with an object for each row."""
        return b"[" + b", ".join(islice(self.rows_json, self.count)) + b"]"
