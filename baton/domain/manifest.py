"""The manifest of a checkpoint, and the names of a job's objects in the store.

The manifest is written last: a checkpoint without a manifest is incomplete.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import Field

from baton.domain.scalars import Crc32c, ObjectName
from baton.domain.wire import Message, Position

MANIFEST = "manifest.json"
STATE, CURSOR = "state.safetensors", "cursor.json"
FILES = "files"
"""The folder of a checkpoint with the files of a program."""
FORMAT = 1

_CHECKPOINT = re.compile(r"jobs/([0-9a-f]{32})/checkpoints/(\d{10,})-(\d+)-(\d+)")
_OF_JOB = re.compile(r"^jobs/[0-9a-f]{32}/")
_LOG = re.compile(r"jobs/[0-9a-f]{32}/logs/\d{6,}-\d+/(\d{12,})\.log")
_ARTIFACT = re.compile(r"jobs/([0-9a-f]{32})/versions/(\d+)-(\d+)/([^/]+)")


class FileEntry(Message):
    """One file of a checkpoint, relative to its prefix. `size` in bytes."""

    name: ObjectName
    size: int = Field(ge=0)
    crc32c: Crc32c


class ProgramFile(FileEntry):
    """A file of XLA's autotuning results. `object`: its name in the store. Many checkpoints of a job share it."""

    object: ObjectName


class ProgramSet(Message):
    """The autotuning results that were in use when a checkpoint was made.

    `made_for`: what the results depend on, by name, such as versions and GPU. `key`: a digest of `made_for`; a process
    with another key does not use the results. `files`: empty if XLA wrote none. Older versions also stored compiled
    programs here, which are no longer used.
    """

    key: str
    made_for: dict[str, str]
    files: tuple[ProgramFile, ...] = ()


class ManifestHead(Message):
    """The common part of all manifests. `format` increases when older workers cannot read the rest."""

    format: Annotated[int, Field(ge=1)] = FORMAT


class Manifest(ManifestHead):
    """The content of `manifest.json`: the files of a checkpoint, its position and the environment that made it.

    `programs`: XLA's autotuning results; None without a GPU, and in older manifests. `rows_from`: the first epoch whose
    row of the history the service had not recorded when the manifest was written. The next attempt sends the rows from
    this epoch on. None: all rows were recorded, or it is not known.

    >>> from datetime import UTC, datetime
    >>> manifest = Manifest(
    ...     job_id="0" * 32,
    ...     attempt_id="1" * 32,
    ...     fence=2,
    ...     position=Position(stage=0, epoch=3, step=0, global_step=1500),
    ...     files=(FileEntry(name="state.safetensors", size=4096, crc32c="9ae6b2d3"),),
    ...     environment={"tensorflow": "2.21.0"},
    ...     created_at=datetime(2026, 8, 1, tzinfo=UTC),
    ... )
    >>> Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    True
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
    """The prefix of all objects of a job."""
    return f"jobs/{job_id}"


def checkpoint_prefix(job_id: str, global_step: int, fence: int, save: int) -> str:
    """The prefix of a checkpoint; its objects never change. `save` counts the saves of an attempt: two saves can have
    the same step.

    >>> checkpoint_prefix("0" * 32, 1500, fence=2, save=3)
    'jobs/00000000000000000000000000000000/checkpoints/0000001500-2-3'
    """
    return f"{job_prefix(job_id)}/checkpoints/{global_step:010d}-{fence}-{save}"


def artifact_object(job_id: str, fence: int, save: int, name: str) -> str:
    """The object of one version of an artifact. It never changes. `artifact_name` returns the artifact's plain name."""
    return f"{job_prefix(job_id)}/versions/{fence}-{save}/{name}"


def log_prefix(job_id: str, attempt: int, fence: int) -> str:
    """The prefix of an attempt's log segments. It contains the fence, so a worker that lost its lease cannot write into
    the log of another attempt.
    """
    return f"{job_prefix(job_id)}/logs/{attempt:06d}-{fence}"


def log_segment(job_id: str, attempt: int, fence: int, offset: int) -> str:
    """The object with the part of a log that begins at byte `offset`. Names sort in the order of the log.

    An empty object means that the log is complete.
    """
    return f"{log_prefix(job_id, attempt, fence)}/{offset:012d}.log"


def log_offset(name: str) -> int | None:
    """The first byte of the log segment with this name. None for any other name."""
    match = _LOG.fullmatch(name)
    return int(match[1]) if match else None


def programs_prefix(job_id: str) -> str:
    """The prefix of a job's autotuning results. They are kept until the job ends: any checkpoint may need them."""
    return f"{job_prefix(job_id)}/programs"


def program_object(job_id: str, key: str, digest: str, name: str) -> str:
    """The object of autotuning results. The same content has the same name in all checkpoints."""
    return f"{programs_prefix(job_id)}/{key}/{digest}-{name}"


def artifact_name(job_id: str, name: str) -> str:
    """The plain name of an artifact in the store, for people."""
    return f"{job_prefix(job_id)}/{name}"


def checkpoint_parts(prefix: str) -> tuple[str, int, int, int] | None:
    """Job, global step, fence and save of a checkpoint's prefix; None for any other name."""
    match = _CHECKPOINT.fullmatch(prefix)
    return (match[1], int(match[2]), int(match[3]), int(match[4])) if match else None


def checkpoint_of(name: str) -> str | None:
    """The prefix of the checkpoint that contains this object; None for an object that is not in a checkpoint.

    >>> checkpoint_of(checkpoint_prefix("0" * 32, 1500, fence=2, save=3) + "/files/model/weights.bin")
    'jobs/00000000000000000000000000000000/checkpoints/0000001500-2-3'
    """
    match = _CHECKPOINT.match(name)
    return match[0] if match and name[match.end() :].startswith("/") else None


def own_name(job_id: str, name: str) -> str:
    """The name of a job's object, in the folder of this job: a copy of a checkpoint keeps the rest of its name.

    >>> own_name("1" * 32, checkpoint_prefix("0" * 32, 1500, fence=2, save=3))
    'jobs/11111111111111111111111111111111/checkpoints/0000001500-2-3'
    """
    return _OF_JOB.sub(f"{job_prefix(job_id)}/", name, count=1)


def artifact_parts(name: str) -> tuple[str, int, int, str] | None:
    """Job, fence, save and plain name of one version of an artifact; None for any other name."""
    match = _ARTIFACT.fullmatch(name)
    return (match[1], int(match[2]), int(match[3]), match[4]) if match else None
