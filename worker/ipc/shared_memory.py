"""Memory that a process shares with its children: a file without a name, passed on as a descriptor."""

from __future__ import annotations

import os
import tempfile
from typing import IO


def memory_file(content: bytes = b"", size: int = 0) -> IO[bytes]:
    """A file without a name, in memory if the system supports that. It contains `content`, or `size` zero bytes."""
    if hasattr(os, "memfd_create"):
        file: IO[bytes] = os.fdopen(os.memfd_create("baton"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(content)
    file.truncate(size or len(content))
    file.flush()
    return file
