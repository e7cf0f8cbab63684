"""The dashboard's files, read once. Their URL contains a digest of the content, so browsers may cache them forever."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).with_name("static")
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
SMALL = 600
"""Files with fewer bytes are not compressed, because that would save nothing."""


@dataclass(frozen=True)
class Asset:
    """A file. `packed`: compressed by gzip, if that is smaller."""

    content: bytes
    media_type: str
    packed: bytes | None


@dataclass(frozen=True)
class Assets:
    """All files by their path below `static`. `name`: the digest of all of them."""

    name: str
    files: dict[str, Asset]

    @property
    def root(self) -> str:
        """URL path of the files."""
        return f"/assets/{self.name}"

    def paths(self, suffix: str) -> list[str]:
        """URL path of each file with this suffix."""
        return [f"{self.root}/{path}" for path in self.files if path.endswith(suffix)]


@cache
def load_assets() -> Assets:
    """The scripts, styles and images in `static`."""
    files: dict[str, Asset] = {}
    digest = hashlib.sha256()
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in MEDIA_TYPES:
            name, content = path.relative_to(FOLDER).as_posix(), path.read_bytes()
            digest.update(f"{name} {len(content)}\n".encode() + content)
            files[name] = Asset(content, MEDIA_TYPES[path.suffix], _packed(content))
    return Assets(digest.hexdigest()[:16], files)


def _packed(content: bytes) -> bytes | None:
    packed = gzip.compress(content, mtime=0)
    return packed if len(content) > SMALL and len(packed) < len(content) else None
