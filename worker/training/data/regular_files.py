"""Opens regular files only: reading a FIFO or a device could block forever."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO

from worker.training.data.failures import BrokenFile

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a directory",
}


def check_regular(file: Path, mode: int) -> None:
    """Raises BrokenFile: `mode` is not that of a regular file. Use the mode of a link's target."""
    if not stat.S_ISREG(mode):
        what = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise BrokenFile(file, f"is {what} and not a regular file")


def open_regular(file: Path) -> IO[bytes]:
    """Opens a file for reading. Never waits for the writer of a FIFO. Raises OSError, and BrokenFile as above."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        check_regular(file, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
