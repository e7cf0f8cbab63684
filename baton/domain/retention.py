"""The kinds of data that retention deletes, and the answer of a prune."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from baton.domain.message_base import Message
from baton.domain.open_enums import named
from baton.domain.scalars import Count


class PruneKind(StrEnum):
    """The kinds of data that have a setting BATON_RETENTION_*."""

    JOBS = "jobs"
    CHECKPOINTS = "checkpoints"
    ARTIFACTS = "artifacts"
    EVENTS = "events"
    LOGS = "logs"
    SERIES = "series"
    AUDIT = "audit"
    WORKERS = "workers"
    KEYS = "keys"


ShownPruneKind = Annotated[str, named(PruneKind, "What is deleted. `logs` counts the jobs whose logs are deleted.")]


class PrunedView(Message):
    """What retention deletes of one kind. `number`: how many items, counted up to a limit; `more`: there are even more.

    `bytes`: the size of their objects in the store. None: they have no objects, or the size is unknown. `left`: how
    many of the items are not deleted yet.
    """

    kind: ShownPruneKind
    number: Count
    bytes: Count | None = None
    more: bool = False
    left: Count = 0


class PruneView(Message):
    """What retention deletes now, by kind. Kinds without a setting are left out."""

    dry_run: bool
    items: list[PrunedView]
