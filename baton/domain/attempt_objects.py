"""Objects of the store that an attempt reads and writes through the service, and the messages about them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StrictBool

from baton.domain.manifest import (
    artifact_parts,
    checkpoint_of,
    checkpoint_parts,
    job_prefix,
    log_offset,
    log_prefix,
    programs_prefix,
)
from baton.domain.message_base import Message
from baton.domain.scalars import Count, Crc32c, ObjectName

PART_BYTES = 8 << 20
"""The most bytes of one request. A larger object is sent in parts of this size."""
UPLOAD_ID = r"^[0-9a-f]{32}$"
CRC32C_HEADER, OBJECT_CRC32C_HEADER = "Baton-CRC32C", "Baton-Object-CRC32C"
"""Checksums of the body and of the whole object."""


class ObjectView(Message):
    """One object. `size` in bytes. `crc32c`: None if the store does not keep it."""

    name: ObjectName
    size: Count
    crc32c: Crc32c | None
    updated: datetime
    content_type: str


class SignRequest(Message):
    """Asks for a URL that reads or writes one object without a token."""

    name: ObjectName
    write: StrictBool = False
    size: Count = 0
    content_type: Annotated[str, Field(max_length=200, pattern=r"^[\w.+/; =-]+$")] = "application/octet-stream"
    if_absent: StrictBool = False


class SignedUrl(Message):
    """A URL that expires within one lease. `url` None: the store cannot sign. `headers`: send them with the request."""

    url: str | None = Field(default=None, repr=False)
    headers: dict[str, str] = Field(default_factory=dict)


def may_write(name: str, job_id: str, attempt: int, fence: int) -> bool:
    """Whether an attempt may write this object: its name has the job's id, and the attempt's fence or a digest.

    >>> job = "0" * 32
    >>> may_write(f"jobs/{job}/checkpoints/0000001500-2-3/manifest.json", job, attempt=1, fence=2)
    True
    >>> may_write(f"jobs/{job}/checkpoints/0000001500-2-3/files/model/weights.bin", job, attempt=1, fence=2)
    True
    >>> may_write(f"jobs/{job}/checkpoints/0000001500-1-3/manifest.json", job, attempt=1, fence=2)
    False
    """
    prefix, artifact = checkpoint_of(name), artifact_parts(name)
    checkpoint = checkpoint_parts(prefix) if prefix else None
    return (
        (checkpoint is not None and (checkpoint[0], checkpoint[2]) == (job_id, fence))
        or (artifact is not None and artifact[:2] == (job_id, fence))
        or is_log(name, job_id, attempt, fence)
        or must_be_new(name, job_id)
    )


def must_be_new(name: str, job_id: str) -> bool:
    """Whether the object must not be replaced. True for autotuning results, which all attempts of the job share."""
    return name.startswith(f"{programs_prefix(job_id)}/")


def is_log(name: str, job_id: str, attempt: int, fence: int) -> bool:
    """Whether the object is a segment of this attempt's log. The last segments are written after the attempt's end."""
    return name.startswith(f"{log_prefix(job_id, attempt, fence)}/") and log_offset(name) is not None


def in_job(name: str, job_id: str) -> bool:
    """Whether the object belongs to the job."""
    return name.startswith(f"{job_prefix(job_id)}/")


def uploads_prefix(job_id: str) -> str:
    """The prefix of the parts of unfinished uploads of a job."""
    return f"{job_prefix(job_id)}/uploads"


def upload_prefix(job_id: str, fence: int, upload: str) -> str:
    """The prefix of the parts of one upload."""
    return f"{uploads_prefix(job_id)}/{fence}-{upload}"


def upload_part(prefix: str, offset: int) -> str:
    """The object with the part of an upload that begins at byte `offset`. Names sort in the order of the bytes."""
    return f"{prefix}/{offset:015d}"


def upload_fence(name: str, job_id: str) -> int | None:
    """The fence of the attempt that wrote this part of an upload. None for any other object."""
    prefix = f"{uploads_prefix(job_id)}/"
    fence = name.removeprefix(prefix).partition("-")[0]
    return int(fence) if name.startswith(prefix) and fence.isdecimal() else None
