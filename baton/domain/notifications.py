"""Notifications: their kinds, the names of targets, and how often a recovery is reported."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from baton.domain.backoff import at_doubling

TARGET = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
TargetName = Annotated[str, Field(pattern=rf"^{TARGET}$")]
"""The name of a target. Its URL is a secret, which only the service has."""


class NotificationKind(StrEnum):
    """The events of a job that can be reported."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RECOVERING = "recovering"
    OVERDUE = "overdue"
    SILENT = "silent"


USUAL = (NotificationKind.SUCCEEDED, NotificationKind.FAILED, NotificationKind.RECOVERING, NotificationKind.OVERDUE)


def tells_of_recovery(interruptions: int, recoveries: int) -> bool:
    """Whether the interruption with this number (from 1) is reported.

    The number `recoveries` + 1 is reported, and then this number times 2, 4, 8 and so on.

    >>> [n for n in range(1, 20) if tells_of_recovery(n, recoveries=1)]
    [2, 4, 8, 16]
    """
    times, rest = divmod(interruptions, recoveries + 1)
    return rest == 0 and at_doubling(times)
