"""Requests and answers about pushed data."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from baton.domain.data_manifest import PACK_BYTES, Sha256
from baton.domain.message_base import Message
from baton.domain.open_enums import ShownDataKind
from baton.domain.projects import DEFAULT
from baton.domain.validation import WHOLE, Model

MAX_PACKS = 1_000
"""The most packs in one query."""

PackSize = Annotated[int, Field(ge=1, le=PACK_BYTES), WHOLE]


class PackQuery(Model):
    """Asks which packs the store lacks. `packs`: SHA-256 and size in bytes of each."""

    packs: Annotated[list[tuple[Sha256, PackSize]], Field(max_length=MAX_PACKS)]


class PackAnswer(Message):
    """The packs that the store lacks, by their SHA-256, in the order of the query."""

    missing: list[str]


class DataView(Message):
    """One version of pushed data. `files`: their number. `bytes`: the sum of their sizes. `created_at`: the last push.

    `last_used_at`: the last push, or the last submission of a job that uses this version. `project`: whose it is.
    """

    name: str
    digest: str
    kind: ShownDataKind
    files: int
    bytes: int
    created_at: datetime
    created_by: str
    last_used_at: datetime
    project: str = DEFAULT


class DataPage(Message):
    """A page of versions, newest first. `next_cursor` is None on the last page."""

    items: list[DataView]
    next_cursor: str | None
