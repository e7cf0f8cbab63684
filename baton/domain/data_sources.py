"""URLs of data sets, and the URL prefixes that a worker's operator allowed. Pure functions.

A worker requests a URL that a user wrote. Without limits this is server-side request forgery: the worker can reach
addresses and buckets that the user cannot reach. So a worker requests only what begins with an allowed prefix. A URL
that two programs could read in different ways is refused: one with a user name, a backslash, '..' or a control
character.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

WEB = ("https", "http")
BUCKETS = ("gs", "s3")
DEFAULT_PORTS = {"https": 443, "http": 80}
SETTING = "BATON_DATA_SOURCES"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
_SHA256 = re.compile(r"sha256=([0-9a-f]{64})")


def is_url(text: object) -> bool:
    """Whether a `dataset.path` is a URL and not a path on the worker.

    >>> is_url("https://example.org/flowers.zip"), is_url("/data/flowers"), is_url(None)
    (True, False, False)
    """
    return isinstance(text, str) and _URL.match(text) is not None


@dataclass(frozen=True)
class DataUrl:
    """A URL of data. `place`: host and port, or bucket. `path`: decoded, without the first '/'. `sha256`: of the file.

    `request`: the URL without `#sha256=…`. Its query may hold a signature, so texts show `str(url)` without the query.

    >>> url = DataUrl.parse("https://Example.org:443/sets/my%20flowers.zip?sig=1")
    >>> url.place, url.path, str(url)
    ('example.org', 'sets/my flowers.zip', 'https://example.org/sets/my flowers.zip')
    """

    scheme: str
    place: str
    path: str
    request: str
    query: str = ""
    sha256: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a URL with one of the schemes https, http, gs and s3. Raises ValueError with a text for the user."""
        scheme = text.partition("://")[0].lower()
        if scheme not in (*WEB, *BUCKETS):
            raise ValueError(f"must be a path on the worker, or begin with https://, gs:// or s3://, not {text[:80]!r}")
        if "\\" in text or any(ord(char) < 32 or ord(char) == 127 for char in text):
            raise ValueError("a URL must not contain a backslash or a control character")
        if scheme in WEB and not (text.isascii() and " " not in text):
            raise ValueError("write spaces and letters beyond ASCII in percent encoding, such as %20")
        try:
            parts = urlsplit(text)
            place = _place(scheme, parts)
        except ValueError as error:
            raise ValueError(f"is not a valid URL: {error}") from error
        if scheme in BUCKETS and parts.query:
            raise ValueError("a URL of a bucket must not contain '?'; write %3F for a question mark in a name")
        request = text.partition("#")[0]
        return cls(scheme, place, _path(parts.path), request, parts.query, _checksum(scheme, parts.fragment))

    @property
    def name(self) -> str:
        """The last part of the path, or the place if there is no path."""
        return self.path.rstrip("/").rpartition("/")[2] or self.place

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}/{self.path}"

    def below(self, prefix: DataUrl) -> bool:
        """Whether this URL is the prefix, or is below it. A prefix ends at a '/': /data is no prefix of /data2.

        For a bucket, gs://photos/cats and gs://photos/cats/ are the same folder.
        """
        if (self.scheme, self.place) != (prefix.scheme, prefix.place):
            return False
        if self.scheme in BUCKETS and self.path.rstrip("/") == prefix.path.rstrip("/"):
            return True
        folder = prefix.path if not prefix.path or prefix.path.endswith("/") else f"{prefix.path}/"
        return self.path == prefix.path or self.path.startswith(folder)


def _place(scheme: str, parts: SplitResult) -> str:
    host = (parts.hostname or "").rstrip(".")
    if "@" in parts.netloc:
        raise ValueError("a user name or password is not allowed")
    if not _HOST.fullmatch(f"[{host}]" if ":" in host else host):
        raise ValueError("it has no host or bucket, or its host or bucket has invalid characters")
    port = parts.port
    if scheme in BUCKETS and port is not None:
        raise ValueError("a bucket has no port")
    shown = f"[{host}]" if ":" in host else host
    return shown if port in (None, DEFAULT_PORTS.get(scheme)) else f"{shown}:{port}"


def _path(path: str) -> str:
    for segment in path.split("/"):
        decoded = unquote(segment)
        if decoded in (".", "..") or any(char in decoded for char in "/\\\0"):
            raise ValueError("a URL must not contain '.' or '..' as a part, or an encoded '/', '\\' or zero byte")
    return unquote(path).removeprefix("/")


def _checksum(scheme: str, fragment: str) -> str | None:
    found = _SHA256.fullmatch(fragment.lower())
    if fragment and (found is None or scheme in BUCKETS):
        raise ValueError("after '#' only sha256= and 64 hexadecimal digits are allowed, and only for https://")
    if scheme == "http" and found is None:
        raise ValueError("http:// needs #sha256=HEX after the URL, because anyone on the way can change the file")
    return found[1] if found else None


@dataclass(frozen=True)
class DataSources:
    """The URL prefixes that the operator of a worker allowed. None: no URL is allowed.

    >>> sources = DataSources.parse("https://example.org/sets, gs://photos")
    >>> [sources.allow(DataUrl.parse(url)) for url in ("gs://photos/cats/", "gs://photos2/", "https://example.org/a")]
    [True, False, False]
    """

    prefixes: tuple[DataUrl, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse prefixes separated by commas. Raises ValueError."""
        return cls(tuple(_prefix(one) for part in text.split(",") if (one := part.strip())))

    def allow(self, url: DataUrl) -> bool:
        """Whether the URL is one of the prefixes, or is below one."""
        return any(url.below(prefix) for prefix in self.prefixes)

    def __str__(self) -> str:
        return ", ".join(map(str, self.prefixes)) or "none"


NO_SOURCES = DataSources()
"""No URL is allowed."""


def _prefix(text: str) -> DataUrl:
    if "?" in text or "#" in text:
        raise ValueError(f"a prefix must not contain '?' or '#': {text!r}")
    try:
        # A checksum belongs to one URL, so a prefix with http:// needs none.
        return DataUrl.parse(f"{text}#sha256={'0' * 64}" if text.lower().startswith("http://") else text)
    except ValueError as error:
        raise ValueError(f"{text!r} {error}") from error
