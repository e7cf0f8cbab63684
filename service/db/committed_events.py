"""Committed events of jobs, for the log and the counters of this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HAPPENED = "happened"
"""The key of the uncommitted events in a session's `info`. A rollback discards them."""


@dataclass(frozen=True)
class CommittedEvent:
    """One event, with the values of its row."""

    job_id: str
    kind: str
    actor: str
    message: str
    data: Mapping[str, Any]
