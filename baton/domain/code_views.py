"""Answers about code bundles."""

from __future__ import annotations

from datetime import datetime

from baton.domain.message_base import Message


class CodeView(Message):
    """A code bundle. `files`: their number. `bytes`: the size of the archive. `created_at`: its first push.

    `last_used_at`: the last push or submission of a job with it, or a later time at which a job named it.
    """

    digest: str
    files: int
    bytes: int
    created_at: datetime
    created_by: str
    last_used_at: datetime
