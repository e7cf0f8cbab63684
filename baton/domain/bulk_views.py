"""Answers of an action on many jobs."""

from __future__ import annotations

from pydantic import Field

from baton.domain.message_base import Message
from baton.domain.open_enums import ShownStatus


class ChosenJob(Message):
    """A job that an action would change."""

    id: str
    name: str
    status: ShownStatus


class SkippedJob(Message):
    """A job that an action could not change, and why."""

    id: str
    name: str
    why: str


class BulkPreview(Message):
    """The jobs that match. `number`: how many, up to a limit. `more`: even more match. `jobs`: the first few."""

    number: int
    more: bool
    jobs: list[ChosenJob]


class BulkView(Message):
    """The result of an action on many jobs.

    `done`: the number of changed jobs. `unchanged`: the number of jobs that needed no change. `skipped`: the number of
    jobs that the action could not change. `reasons`: why, for the first of these. `left`: the number of matching jobs
    after this call; `left_more`: even more are left. `next_cursor`: repeat the call with it for the jobs that are left;
    None: no job is left. `preview`: set if the call only asked for a preview.
    """

    done: int = 0
    unchanged: int = 0
    skipped: int = 0
    reasons: list[SkippedJob] = Field(default_factory=list)
    left: int = 0
    left_more: bool = False
    next_cursor: str | None = None
    preview: BulkPreview | None = None
