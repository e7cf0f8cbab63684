"""The failures of a job whose data cannot be used. They name the field or the files."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason

LISTED = 20
"""At most this many broken files are named."""

_OF_THE_FILE = frozenset({errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO})


def bad_data(message: str) -> NoReturn:
    """Raises JobFailure with reason bad_data."""
    raise JobFailure(Reason.BAD_DATA, message)


class BrokenFile(JobFailure):
    """One file cannot be used: it is damaged, missing, or of a kind that is not read. Other files may be good."""

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(Reason.BAD_DATA, f"{file}: {why}")


def unreadable(file: Path, error: OSError) -> JobFailure:
    """The failure for a file that the operating system could not read.

    If the disk or the mount fails, or permission is missing, the file is not broken: a later try may succeed.
    """
    why = f"cannot be read: {error.strerror}"
    if error.errno in _OF_THE_FILE:
        return BrokenFile(file, why)
    return JobFailure(Reason.BAD_DATA, f"{file}: {why}")


@dataclass(frozen=True)
class BrokenFiles:
    """All broken files of a data set. `rows`: their places in the listing. `messages`: for the first LISTED files."""

    rows: tuple[int, ...] = ()
    messages: tuple[str, ...] = ()

    def __str__(self) -> str:
        rest = len(self.rows) - len(self.messages)
        return "; ".join(self.messages) + (f"; and {rest:,} more" if rest else "")

    def failure(self) -> JobFailure:
        """The failure of a job that must not skip broken files."""
        if len(self.rows) == 1:
            return JobFailure(Reason.BAD_DATA, f"{self}. Replace or remove it, or set dataset.on_broken: skip")
        text = f"{len(self.rows):,} broken files: {self}. Replace or remove them, or set dataset.on_broken: skip"
        return JobFailure(Reason.BAD_DATA, text)
