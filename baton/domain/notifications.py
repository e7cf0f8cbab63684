"""Notifications: of what people are told, who, and how often. One vocabulary for specs, service and client."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from baton.domain.backoff import at_doubling

TARGET = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
TargetName = Annotated[str, Field(pattern=rf"^{TARGET}$")]
"""How a target is called; its URL is a secret of the service's."""


class NotificationKind(StrEnum):
    """What a job may have people told of."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RECOVERING = "recovering"
    OVERDUE = "overdue"
    SILENT = "silent"


USUAL = (NotificationKind.SUCCEEDED, NotificationKind.FAILED, NotificationKind.RECOVERING, NotificationKind.OVERDUE)


def tells_of_recovery(interruptions: int, recoveries: int) -> bool:
    """Whether the interruption of this number, from 1, is told of: the first above `recoveries`, then each doubling."""
    times, rest = divmod(interruptions, recoveries + 1)
    return rest == 0 and at_doubling(times)
