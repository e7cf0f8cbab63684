"""Where the archive of a data set comes from, and how to know that it is the right one. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self

_LENGTHS = {"md5": 32, "sha256": 64}
NO_CHECKSUM = "none"


@dataclass(frozen=True)
class Checksum:
    """A digest of a whole file. `algorithm`: md5 or sha256; `digest`: lower-case hexadecimal."""

    algorithm: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """From `md5:90528d...` or `sha256:...`; None from `none`.

        Raises:
            ValueError: it is none of these.
        """
        if text.strip().lower() == NO_CHECKSUM:
            return None
        algorithm, _, digest = text.strip().lower().partition(":")
        if len(digest) != _LENGTHS.get(algorithm, 0) or not re.fullmatch("[0-9a-f]+", digest):
            raise ValueError(f"must be md5:, sha256: and hexadecimal digits, or none, not {text!r}")
        return cls(algorithm, digest)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest}"


@dataclass(frozen=True)
class Download:
    """A file to be had over HTTP. `bytes` and `checksum` are None where nobody knows them.

    `advice`: what helps where the server does not have it, or has something else.
    """

    file: str
    url: str
    bytes: int | None = None
    checksum: Checksum | None = None
    advice: str = ""

    def changed(self, url: str = "", checksum: str = "") -> Self:
        """The same from a mirror, or another file with its own checksum; empty changes nothing.

        Raises:
            ValueError: no http or https URL, or no checksum.
        """
        found = replace(self, url=http_url(url)) if url else self
        if not checksum:
            return found
        parsed = Checksum.parse(checksum)
        return replace(found, checksum=parsed, bytes=self.bytes if parsed == self.checksum else None)


def http_url(text: str) -> str:
    """The URL itself. Raises ValueError."""
    if not text.startswith(("http://", "https://")):
        raise ValueError(f"must begin with http:// or https://, not {text!r}")
    return text
