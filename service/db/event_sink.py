"""Events of jobs for those who hear of them here: the log of this process, and its counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HAPPENED = "happened"
"""Under this name a session keeps them until it commits: what is rolled back did not happen."""


@dataclass(frozen=True)
class EventSink:
    """One event, as its row has it."""

    job_id: str
    kind: str
    actor: str
    message: str
    data: Mapping[str, Any]
