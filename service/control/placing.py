"""The place of a queued attempt in its queue, kept in columns of its row, so that no query has to read its job.

An attempt with an `urgency` is placed: it may be claimed now. One without is in its backoff, or was queued by a
release that does not know these columns; the conductor places it once its `not_before` has passed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from core.domain.queues import PRIORITIES
from core.domain.stored import mapping, names
from service.control.limits import Limits
from service.db.tables import Attempt, Job

LIMITS = "limits"
"""The name of the service's limits in a session's `info`."""

NO_LIMITS = Limits()


@dataclass(frozen=True)
class Requirements:
    """What all attempts with the same key have in common.

    `needs`: extensions that a worker must have. `spec_version`: the least version of specs that it must read.
    `labels`: those that have a limit.
    """

    needs: frozenset[str] = frozenset()
    spec_version: int = 1
    labels: tuple[tuple[str, str], ...] = ()

    def met_by(self, extensions: Collection[str], spec_version: int | None = None) -> bool:
        """Whether a worker with these extensions, which reads this version of specs, can train such a job.

        `spec_version`: None where it is not known; then the claim decides.
        """
        return self.needs.issubset(extensions) and (spec_version is None or spec_version >= self.spec_version)

    @property
    def worker(self) -> tuple[frozenset[str], int]:
        """What kind of worker is required."""
        return self.needs, self.spec_version


NOTHING = Requirements()


def limits_of(session: Session) -> Limits:
    """The limits of the service that this session belongs to."""
    found: Limits = session.info.get(LIMITS, NO_LIMITS)
    return found


def requirements(needs: Any, spec_version: int | None, labels: Any, limits: Limits) -> Requirements:
    """From the columns of a job, read leniently: a column of another form says nothing."""
    limited = limits.limited({key: str(value) for key, value in mapping(labels).items()})
    return Requirements(frozenset(names(needs)), spec_version or 1, tuple(sorted(limited.items())))


def key_of(required: Requirements, limits: Limits) -> str:
    """The key of these requirements: at most 32 characters.

    It depends on which labels have a limit: after a change of that setting all older keys are stale.
    """
    patterns = limits.label_patterns
    if not patterns and required == NOTHING:
        return ""
    content = [sorted(required.needs), required.spec_version, required.labels, patterns]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()


def urgency_of(priority: str, number: int) -> int:
    """The rank of an attempt in its queue, the lowest first: attempts of jobs that ran before lead their priority."""
    return 2 * PRIORITIES.index(priority) + (number == 1)


def place(attempt: Attempt, job: Job, limits: Limits) -> None:
    """Put the attempt into its queue: it may be claimed from now on. Raises ValueError for an unknown priority."""
    attempt.needs_key = key_of(requirements(job.needs, job.spec_version, job.labels, limits), limits)
    attempt.urgency = urgency_of(job.priority, attempt.number)
    attempt.queue, attempt.job_number = job.queue, job.number


def unplace(attempt: Attempt) -> None:
    """Take the attempt out of its queue until its `not_before`."""
    attempt.needs_key = attempt.urgency = None
