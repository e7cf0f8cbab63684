"""Measures Baton's training loop and upload queue with a service that accepts each request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from baton.domain.spec import parse_classifier
from baton.domain.wire import ArtifactCommit, CheckpointCommit, CheckpointRole, Grant
from baton.storage import open_store
from bench.windows import ROUNDS_AT_LEAST, Kind, Mark, Rounds
from worker.api_client.client import ServiceClient
from worker.attempt.context import AttemptContext
from worker.attempt.lease import Lease
from worker.attempt.protocols import Stop, Stopped, Workspace
from worker.checkpointing.snapshot import Snapshot
from worker.preemption.deadline import NO_DEADLINE, Pace
from worker.preemption.notice import Notice

WARM_UP_STEPS = 10
WINDOW_STEPS, OFTEN_STEPS = 6, 60
OFTEN_SECONDS = 2.0


@dataclass
class Seen:
    """What was measured. Times in seconds."""

    windows: Rounds
    direct: Rounds
    stalls: list[float] = field(default_factory=list)
    saves: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)
    bytes: int = 0
    saves_often: int = 0
    snapshot: Snapshot | None = None


class Anybody:
    """A service that accepts each request at once."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self.file_begun = 0.0

    def commit_checkpoint(self, attempt_id: str, commit: CheckpointCommit) -> None:
        """Record size and seconds of the background write."""
        del attempt_id
        self._seen.bytes = commit.bytes
        self._seen.saves.append(commit.seconds)

    def commit_artifact(self, attempt_id: str, commit: ArtifactCommit) -> None:
        """Record the seconds since the start of making the file."""
        del attempt_id, commit
        self._seen.files.append(time.perf_counter() - self.file_begun)


class TimedContext(AttemptContext):
    """Saves checkpoints as the kind of the window requires, and records the time between any two steps."""

    def __init__(self, seen: Seen, seconds: tuple[float, float], **wiring: Any) -> None:
        self._seen, self._anybody = seen, cast(Anybody, wiring["client"])
        self._plan = self._windows(seconds)
        self._left, self._kind = WARM_UP_STEPS, Kind.QUIET
        self._rounds: Rounds | None = None
        self._begun = Mark.now()
        self._due = self._busy_until = self._saved = 0.0
        super().__init__(**wiring)

    def _windows(self, seconds: tuple[float, float]) -> Any:
        for rounds, limit in zip((self._seen.windows, self._seen.direct), seconds, strict=True):
            end = time.perf_counter() + limit
            while len(rounds.seconds) < ROUNDS_AT_LEAST or time.perf_counter() < end:
                for kind in rounds.draw():
                    yield rounds, kind

    def stopping(self) -> Stop | None:
        """Record the time. Called between two steps."""
        now = Mark.now()
        if self._due:
            self._seen.stalls.append(self._busy_until - self._due)
            self._due = 0.0
        if self._left == 0:
            if self._rounds is not None:
                self._rounds.add(self._kind, self._begun, now)
            if not self._next_window():
                return Stop.PAUSED
        self._left -= 1
        return super().stopping()

    def _next_window(self) -> bool:
        self.uploads.flush()  # an upload of one window must not slow down the next one
        self._rounds, self._kind = next(self._plan, (None, Kind.QUIET))
        if self._rounds is None:
            return False
        self._left = self._rounds.steps
        self._begun = Mark.now()
        self._saved = self._begun.clock
        return True

    def checkpoint_due(self, steps: int) -> bool:
        """True after the first step of a window with a save, and every two seconds in a window with frequent saves."""
        del steps
        first = self._rounds is not None and self._left == self._rounds.steps - 1
        now = time.perf_counter()
        often = self._kind is Kind.OFTEN and now - self._saved >= OFTEN_SECONDS
        due = often or (first and self._kind in (Kind.STATE, Kind.STATE_AND_FILE))
        self._seen.saves_often += often
        if due:
            self._due = self._saved = now
        return due

    def save(self, prefix: str, snapshot: Snapshot, roles: frozenset[CheckpointRole], **more: Any) -> None:
        """Record when the loop continues: after this call, or after `publish` has queued the artifact."""
        super().save(prefix, snapshot, roles, **more)
        self._seen.snapshot = snapshot
        self._busy_until = time.perf_counter()

    def publish(
        self,
        name: str,
        make: Callable[[Path], None],
        content_type: str,
        lost: Callable[[], None] = lambda: None,
        **more: Any,
    ) -> None:
        """Queue the artifact, except in the windows that measure only the state."""

        def timed(path: Path) -> None:
            self._anybody.file_begun = time.perf_counter()
            make(path)

        if self._kind is not Kind.STATE:
            super().publish(name, timed, content_type, lost, **more)
        self._busy_until = time.perf_counter()


def run(spec: Mapping[str, Any], folder: Path, threads: int, seconds: tuple[float, float]) -> Seen:
    """Train in windows for `seconds[0]`, then for the direct comparison for `seconds[1]`."""
    from worker.training import loop
    from worker.training.output import artifacts

    artifacts.LATEST_SECONDS = 0.0  # no minimum interval: each window decides what it saves
    kinds = (Kind.QUIET, Kind.STATE, Kind.QUIET, Kind.STATE_AND_FILE)
    seen = Seen(Rounds(kinds, WINDOW_STEPS), Rounds((Kind.QUIET, Kind.OFTEN), OFTEN_STEPS))
    grant = Grant(
        attempt_id="a",
        job_id="j",
        attempt=1,
        fence=1,
        lease_seconds=30,
        heartbeat_seconds=10,
        spec=dict(spec),
        checkpoints=(),
        seconds_between_interruptions=3600,
    )
    client = cast(ServiceClient, Anybody(seen))
    context = TimedContext(
        seen,
        seconds,
        client=client,
        store=open_store((folder / "store").as_uri()),
        lease=Lease(client, grant),
        notice=Notice(),
        grant=grant,
        spec=parse_classifier(dict(spec)),
        environment={},
        pace=Pace(NO_DEADLINE),
    )
    try:
        loop.train(parse_classifier(dict(spec)), context, Workspace(folder / "cache", threads, 0), None)
    except Stopped:
        context.uploads.flush()
    finally:
        context.uploads.close()
    return seen
