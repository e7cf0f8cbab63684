"""Projects: whose jobs, data and code are whose. For service, client and command line."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from baton.domain.message_base import Message
from baton.domain.validation import WHOLE, Model

DEFAULT = "default"
"""The project of everything that names no other. It always exists."""

MOST = 2**53
ProjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Quota = Annotated[int, Field(ge=0, le=MOST), WHOLE] | None
Number = Annotated[int, Field(ge=0, le=2**31 - 1), WHOLE] | None


class Quotas(Model):
    """What a project may use at most. None: no limit.

    `max_attempts`: attempts that workers hold at once. `max_queued`: jobs that wait for a worker; no further job is
    accepted beyond it. `max_data_bytes`, `max_code_bytes`: bytes of pushed data and of code bundles.
    """

    max_attempts: Number = None
    max_queued: Number = None
    max_data_bytes: Quota = None
    max_code_bytes: Quota = None


class ProjectUse(Message):
    """What a project uses now, in the units of its quotas."""

    attempts: int
    queued: int
    data_bytes: int
    code_bytes: int


class ProjectView(Message):
    """A project. `created_by`: the name of the token that created it."""

    name: str
    created_at: datetime
    created_by: str
    quotas: Quotas
    use: ProjectUse
