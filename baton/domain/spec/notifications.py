"""Notifications of a job. A spec contains names of targets: their URLs are secrets that only the service has."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from baton.domain.notifications import NotificationKind, TargetName
from baton.domain.validation import WHOLE, Model


class NotifySpec(Model):
    """Which notifications are sent to which targets. A missing field has the service's default. Nothing is sent if
    `targets` or `when` is empty.

    The field is `when` and not `on`, because YAML 1.1 reads `on` as true.
    """

    targets: Annotated[tuple[TargetName, ...], Field(max_length=20)] | None = None
    """Names of targets of the service."""
    when: Annotated[tuple[NotificationKind, ...], Field(max_length=20)] | None = None
    """The kinds of events to report."""
    recoveries: Annotated[int, Field(ge=0, le=100_000), WHOLE] | None = None
    """How many interruptions are not reported."""
