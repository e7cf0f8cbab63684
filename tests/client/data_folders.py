"""Folders to push."""

from __future__ import annotations

import hashlib
import os
import random
import time
from pathlib import Path

from baton.domain.data_manifest import CUT_ONE_IN


def fill(folder: Path, files: int, *, seed: int = 1, cuts: int = 0) -> None:
    """Small files in three folders. `cuts`: how many of them end a pack by their names."""
    drawn = random.Random(seed)
    ends = {files * (k + 1) // (cuts + 1) for k in range(cuts)}
    for k in range(files):
        name = next(
            name
            for extra in range(100_000)
            if ends_pack(name := f"class-{k * 3 // files}/{k:04}-{extra}.bin") == (k in ends)
        )
        write(folder / name, drawn.randbytes(drawn.randrange(100, 20_000)))


def ends_pack(path: str) -> bool:
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:4], "big") % CUT_ONE_IN == 0


def write(path: Path, content: bytes) -> Path:
    """A file that was modified some time ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    before = time.time() - 100
    os.utime(path, (before, before))
    return path
