"""The place of a queued attempt in its queue. It is stored in the attempt's columns, so queries do not read the job.

An attempt with an `urgency` is placed: it may be claimed now. An attempt without an `urgency` is in its backoff, or an
older release without these columns has queued it. The reconciler places such an attempt after its `not_before`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from baton.domain.extensions import is_of_kind
from baton.domain.lenient_reading import mapping, names
from baton.domain.queues import PRIORITIES
from service.db.tables import Attempt, Job
from service.usecases.attempt_limits import Limits

LIMITS = "limits"
"""The key of the service's limits in a session's `info`."""

NO_LIMITS = Limits()


@dataclass(frozen=True)
class Requirements:
    """The requirements that all attempts with the same key share.

    `needs`: extensions that a worker must have. `spec_version`: the lowest spec version that it must read.
    `labels`: the labels that have a limit.
    """

    needs: frozenset[str] = frozenset()
    spec_version: int = 1
    labels: tuple[tuple[str, str], ...] = ()

    def met_by(self, extensions: Collection[str], spec_version: int | None = None) -> bool:
        """Whether a worker with these extensions and this spec version can train such a job.

        `spec_version`: None if unknown; then it is checked only at the claim.
        """
        has = self.needs.issubset(extensions) and is_of_kind(self.needs, extensions)
        return has and (spec_version is None or spec_version >= self.spec_version)

    @property
    def worker(self) -> tuple[frozenset[str], int]:
        """The kind of worker that is required."""
        return self.needs, self.spec_version


NOTHING = Requirements()


def limits_of(session: Session) -> Limits:
    """The limits of the service that this session belongs to."""
    found: Limits = session.info.get(LIMITS, NO_LIMITS)
    return found


def requirements(needs: Any, spec_version: int | None, labels: Any, limits: Limits) -> Requirements:
    """The requirements from the columns of a job. Malformed columns are ignored."""
    limited = limits.limited({key: str(value) for key, value in mapping(labels).items()})
    return Requirements(frozenset(names(needs)), spec_version or 1, tuple(sorted(limited.items())))


def key_of(required: Requirements, limits: Limits) -> str:
    """The key of these requirements: at most 32 characters.

    It depends on the set of limited labels. After a change of that setting all older keys are stale.
    """
    patterns = limits.label_patterns
    if not patterns and required == NOTHING:
        return ""
    content = [sorted(required.needs), required.spec_version, required.labels, patterns]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()


def urgency_of(priority: str, number: int) -> int:
    """The rank of an attempt in its queue, lowest first. Within a priority, jobs that ran before come first."""
    return 2 * PRIORITIES.index(priority) + (number == 1)


def place(attempt: Attempt, job: Job, limits: Limits) -> None:
    """Put the attempt into its queue: it may be claimed from now on. Raises ValueError for an unknown priority."""
    attempt.needs_key = key_of(requirements(job.needs, job.spec_version, job.labels, limits), limits)
    attempt.urgency = urgency_of(job.priority, attempt.number)
    attempt.queue, attempt.project, attempt.job_number = job.queue, job.project, job.number


def unplace(attempt: Attempt) -> None:
    """Take the attempt out of its queue until its `not_before`."""
    attempt.needs_key = attempt.urgency = None
