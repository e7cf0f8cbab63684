"""Who is told what of a job. The targets are names: their URLs are secrets of the service's, and no spec holds one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from baton.domain.notifications import NotificationKind, TargetName
from baton.domain.validation import WHOLE, Model


class NotifySpec(Model):
    """What is not given is as the service says. No targets, or nothing in `when`: nobody is told.

    `when` and not `on`, which YAML 1.1 reads as true.
    """

    targets: Annotated[tuple[TargetName, ...], Field(max_length=20)] | None = None
    """Who is told, by the names that the service has for them."""
    when: Annotated[tuple[NotificationKind, ...], Field(max_length=20)] | None = None
    """Of what."""
    recoveries: Annotated[int, Field(ge=0, le=100_000), WHOLE] | None = None
    """How many interruptions are nothing to tell of."""
