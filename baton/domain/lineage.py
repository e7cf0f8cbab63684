"""The job that another job was made from."""

from __future__ import annotations

from baton.domain.message_base import Message
from baton.domain.open_enums import ShownRole, ShownSourceKind


class SourceCheckpoint(Message):
    """The checkpoint from which a job started. `role`: the pointer that was asked for; None: a step was asked for."""

    role: ShownRole | None
    global_step: int


class JobSource(Message):
    """The job from which this one was made. `deleted`: the other job does not exist any more.

    `kind`: `from`: this job started from a checkpoint of the other job; `clone`: this job took only its spec.
    `checkpoint`: None for a clone.
    """

    kind: ShownSourceKind
    job: str
    name: str
    checkpoint: SourceCheckpoint | None = None
    deleted: bool = False
