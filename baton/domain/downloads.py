"""Source, size and checksum of the archive of a data set. Pure functions."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlsplit

_LENGTHS = {"md5": 32, "sha256": 64}
NO_CHECKSUM = "none"


@dataclass(frozen=True)
class Checksum:
    """A digest of a whole file. `algorithm`: md5 or sha256; `digest`: lower-case hexadecimal."""

    algorithm: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parses `md5:90528d...` or `sha256:...`. `none` gives None.

        Raises:
            ValueError: the text has another form.

        >>> str(Checksum.parse("MD5:90528d7ca1a48142e341f4ef8d21d0de"))
        'md5:90528d7ca1a48142e341f4ef8d21d0de'
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
    """A file to download over HTTP. `bytes` (its size) and `checksum` are None if they are not known.

    `advice`: what the user can do if the server does not have the file, or has another one. `secret_query`: texts do
    not show the URL's query, because it may hold a signature.

    >>> Download("a.zip", "https://example.org/a.zip?sig=1", secret_query=True).shown
    'https://example.org/a.zip'
    """

    file: str
    url: str
    bytes: int | None = None
    checksum: Checksum | None = None
    advice: str = ""
    secret_query: bool = False

    @property
    def shown(self) -> str:
        """The URL for texts."""
        return self.url.partition("?")[0] if self.secret_query else self.url

    def changed(self, url: str = "", checksum: str = "") -> Self:
        """A copy with another URL (a mirror), another checksum (another file), or both. An empty text changes nothing.

        Raises:
            ValueError: `url` is not an http or https URL, or `checksum` is not a checksum.
        """
        found = replace(self, url=http_url(url)) if url else self
        if not checksum:
            return found
        parsed = Checksum.parse(checksum)
        return replace(found, checksum=parsed, bytes=self.bytes if parsed == self.checksum else None)


def http_url(text: str) -> str:
    """Returns the URL unchanged. Raises ValueError if it is not an http or https URL.

    >>> http_url("http://[::1]:8080/baton")
    'http://[::1]:8080/baton'
    """
    if not text.startswith(("http://", "https://")):
        raise ValueError(f"must begin with http:// or https://, not {text!r}")
    with suppress(ValueError):
        parts = urlsplit(text)
        if parts.hostname and (parts.port is None or parts.port):
            return text
    raise ValueError("has no valid host and port; write an IPv6 address in brackets, such as http://[::1]:8080")
