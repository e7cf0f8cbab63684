"""The manifest of a checkpoint: written last, so that a prefix without one was never finished."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import Field

from baton.domain.scalars import Crc32c, ObjectName
from baton.domain.wire import Message, Position

MANIFEST = "manifest.json"
STATE, CURSOR = "state.safetensors", "cursor.json"
FORMAT = 1
RESERVED_NAMES = frozenset({"checkpoints", "versions", "logs", "programs"})
"""What no artifact may be called: folders beside the artifacts of a job."""

_CHECKPOINT = re.compile(r"jobs/([0-9a-f]{32})/checkpoints/(\d{10,})-(\d+)-(\d+)")
_LOG = re.compile(r"jobs/[0-9a-f]{32}/logs/\d{6,}-\d+/(\d{12,})\.log")
_ARTIFACT = re.compile(r"jobs/([0-9a-f]{32})/versions/(\d+)-(\d+)/([^/]+)")


class FileEntry(Message):
    """One file of a checkpoint, relative to its prefix. `size` in bytes."""

    name: ObjectName
    size: int = Field(ge=0)
    crc32c: Crc32c


class ProgramFile(FileEntry):
    """XLA's autotuning results. `object`: where they lie. Many checkpoints of the job share one object."""

    object: ObjectName


class ProgramSet(Message):
    """The autotuning results that a checkpoint was made with. `made_for`: what they depend on, part by part.

    `key`: a digest of the same; a process with another one does not use them. `files`: none if XLA wrote none. Older
    versions also stored compiled programs here, which are no longer used.
    """

    key: str
    made_for: dict[str, str]
    files: tuple[ProgramFile, ...] = ()


class ManifestHead(Message):
    """The common part of all manifests. `format` grows when an older worker can no longer read the rest."""

    format: Annotated[int, Field(ge=1)] = FORMAT


class Manifest(ManifestHead):
    """What a checkpoint consists of and under which conditions it was made.

    `programs`: XLA's autotuning results; None if it was made without a GPU, and in older manifests. `rows_from`: an
    epoch. When this was written, the service had not yet recorded the rows of the history from this epoch on. The next
    attempt records them again. None: all rows were recorded, or it is not known.
    """

    job_id: str
    attempt_id: str
    fence: int
    position: Position
    files: tuple[FileEntry, ...]
    environment: dict[str, str]
    created_at: datetime
    programs: ProgramSet | None = None
    rows_from: int | None = None


def job_prefix(job_id: str) -> str:
    """Where all objects of a job lie."""
    return f"jobs/{job_id}"


def checkpoint_prefix(job_id: str, global_step: int, fence: int, save: int) -> str:
    """Immutable name of a checkpoint; `save` counts the saves of one attempt, two of which may share a step."""
    return f"{job_prefix(job_id)}/checkpoints/{global_step:010d}-{fence}-{save}"


def artifact_object(job_id: str, fence: int, save: int, name: str) -> str:
    """Immutable name of one version of an artifact; its plain name is `artifact_name`."""
    return f"{job_prefix(job_id)}/versions/{fence}-{save}/{name}"


def log_prefix(job_id: str, attempt: int, fence: int) -> str:
    """Where the segments of one attempt's log lie; a worker without the lease can only lengthen its own."""
    return f"{job_prefix(job_id)}/logs/{attempt:06d}-{fence}"


def log_segment(job_id: str, attempt: int, fence: int, offset: int) -> str:
    """Immutable name of the part of a log that begins at byte `offset`; names sort as the log reads.

    One without a byte says that the log is whole: its worker will add nothing more.
    """
    return f"{log_prefix(job_id, attempt, fence)}/{offset:012d}.log"


def log_offset(name: str) -> int | None:
    """Where the segment of that name begins; None for any other name."""
    match = _LOG.fullmatch(name)
    return int(match[1]) if match else None


def programs_prefix(job_id: str) -> str:
    """Where the autotuning results of a job lie. They are needed until it has ended: any checkpoint may name them."""
    return f"{job_prefix(job_id)}/programs"


def program_object(job_id: str, key: str, digest: str, name: str) -> str:
    """Immutable name of autotuning results: the same content has the same name in each checkpoint."""
    return f"{programs_prefix(job_id)}/{key}/{digest}-{name}"


def artifact_name(job_id: str, name: str) -> str:
    """Where people find an artifact in the store."""
    return f"{job_prefix(job_id)}/{name}"


def checkpoint_parts(prefix: str) -> tuple[str, int, int, int] | None:
    """Job, global step, fence and save of a checkpoint's prefix; None for any other name."""
    match = _CHECKPOINT.fullmatch(prefix)
    return (match[1], int(match[2]), int(match[3]), int(match[4])) if match else None


def artifact_parts(name: str) -> tuple[str, int, int, str] | None:
    """Job, fence, save and plain name of one version of an artifact; None for any other name."""
    match = _ARTIFACT.fullmatch(name)
    return (match[1], int(match[2]), int(match[3]), match[4]) if match else None
