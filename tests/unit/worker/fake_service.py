"""A service that accepts and records every call of an attempt."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from baton.domain.metric_names import is_system
from baton.domain.protocol_versions import FIRST
from baton.domain.reasons import Reason
from baton.domain.series import SeriesPoint
from baton.domain.views import AttemptView
from baton.domain.wire import (
    Beat,
    CheckpointCommit,
    CheckpointRef,
    Claim,
    Directive,
    Finish,
    Grant,
    Heartbeat,
    Note,
    Quarantine,
)
from worker.api_client.client import Refused

SPEC = {
    "name": "x", "network": {"name": "network-2"}, "dataset": {"name": "digits"}, "stages": [{"epochs": 1}],
    "checkpoint": {"every": "7s"},
}  # fmt: skip


class Service:
    """Accepts and records every call. `measured`: system metrics of this attempt have arrived."""

    def __init__(self, checkpoints: tuple[CheckpointRef, ...], protocol: int = FIRST) -> None:
        self.checkpoints, self.protocol = checkpoints, protocol
        self.measured = threading.Event()
        self.beats: list[Heartbeat] = []
        self.notes: list[str] = []
        self.words: list[str] = []
        self.before: list[AttemptView] = []
        self.commits: list[CheckpointCommit] = []
        self.quarantined: list[str] = []
        self.missing: list[bool | None] = []
        self.refuses: Exception | None = None
        self.finished: list[Finish] = []

    def claim(self, attempt_id: str, _claim: Claim) -> Grant:
        return Grant(
            attempt_id=attempt_id,
            job_id="j",
            attempt=2,
            fence=2,
            lease_seconds=30,
            heartbeat_seconds=10,
            spec=SPEC,
            checkpoints=self.checkpoints,
            seconds_between_interruptions=3600,
            protocol=self.protocol,
        )

    def series(self, attempt_id: str, fence: int, points: Sequence[SeriesPoint]) -> frozenset[str]:
        if (attempt_id, fence) == ("a", 2) and all(is_system(point.name) for point in points):
            self.measured.set()
        return frozenset()

    def heartbeat(self, _attempt_id: str, beat: Heartbeat) -> Beat:
        self.beats.append(beat)
        return Beat(directive=Directive.CONTINUE, lease_seconds=30)

    def note(self, _attempt_id: str, note: Note) -> None:
        self.notes.append(note.kind)
        self.words.append(note.message)

    def attempts(self, _attempt_id: str, _job_id: str) -> list[AttemptView]:
        return self.before

    def commit_checkpoint(self, _attempt_id: str, commit: CheckpointCommit) -> None:
        self.commits.append(commit)

    def quarantine(self, _attempt_id: str, quarantine: Quarantine) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.quarantined.append(quarantine.prefix)
        self.missing.append(quarantine.missing)

    def finish(self, _attempt_id: str, finish: Finish) -> None:
        self.finished.append(finish)


class OldService(Service):
    """A service that does not know some reasons for failures."""

    def finish(self, attempt_id: str, finish: Finish) -> None:
        if finish.reason is Reason.DATA_CHANGED:
            raise Refused(422, "invalid-message", "reason: Input should be one of those from before")
        super().finish(attempt_id, finish)
