"""Rows of epochs."""

from __future__ import annotations

from datetime import UTC, datetime

from baton.domain.wire import EpochRow


def row(epoch: int) -> EpochRow:
    known = dict.fromkeys(EpochRow.model_fields, 1)
    return EpochRow.model_validate({**known, "epoch": epoch, "finished_at": datetime.now(UTC)})
