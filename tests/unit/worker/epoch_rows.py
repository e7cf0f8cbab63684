"""Rows of epochs."""

from __future__ import annotations

from datetime import UTC, datetime

from baton.domain.history_table import COLUMNS
from baton.domain.wire import ClassifierRow


def row(epoch: int) -> ClassifierRow:
    known = dict.fromkeys(COLUMNS, 1)
    return ClassifierRow.model_validate({**known, "epoch": epoch, "finished_at": datetime.now(UTC)})
