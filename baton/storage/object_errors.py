"""Turns exceptions of obstore into errors of the store.

The library has few types of exceptions. The rest of the information is in the text: the HTTP status, and the body of
the answer in XML with a code and a message.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from obstore.exceptions import (
    AlreadyExistsError,
    InvalidPathError,
    NotModifiedError,
    PreconditionError,
)

from baton.storage.errors import (
    AlreadyExists,
    NotFound,
    ObjectChanged,
    StoreConfigError,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from baton.storage.object_vendors import Vendor

_STATUS = re.compile(r"status code: (\d{3})|\(code: (\d{3})\)")
_ANSWER = re.compile(r"status code: ([^\n]*)")
_CODE = re.compile(r"<Code>\s*(\w+)\s*</Code>")
_MESSAGE = re.compile(r"<Message>\s*(.*?)\s*(?:\n|</Message>)", re.DOTALL)
_NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"})
_CLOCK = re.compile(r"RequestTimeTooSkewed|Request date header too old|not within the valid time|RequestExpired")
_REGION = re.compile(
    r"AuthorizationHeaderMalformed|PermanentRedirect|TemporaryRedirect|IllegalLocationConstraint|"
    r"[Rr]edirect without LOCATION|incorrectly configured region"
)
_FULL = re.compile(r"status code: 507|StorageFull|QuotaExceeded|InsufficientCapacity")
_CREDENTIALS = re.compile(
    r"169\.254\.169\.254|token request|Missing\w*(?:AccessKey|Account|Secret)|Missing \w*AccessKey|InvalidAccessKey|"
    r"Invalid Access Key|Account must be specified|AzureCli|[Nn]o credentials"
)
_SHOWN = 300


class VendorError(Exception):
    """The text of an exception of the library, without the queries of URLs, which may contain a signature."""


@dataclass(frozen=True)
class Translator:
    """Turns exceptions into errors of one store, which name its URL and the next step."""

    url: str
    vendor: Vendor

    @contextlib.contextmanager
    def translated(self, name: str | None) -> Iterator[None]:
        """Turn every exception of the library in the block into a StoreError.

        `name`: the object, None if only the bucket can be missing.
        """
        try:
            yield
        except (StoreError, MemoryError):
            raise
        except Exception as error:
            raise self.error(name, error) from _redacted(error)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # of Rust: it is no Exception and cannot be imported
                raise
            raise StoreUnavailable(f"The library for {self.url} failed ({_short(error)}). Try again.") from error

    def error(self, name: str | None, error: Exception) -> StoreError:
        """Return the store's error for an exception of the library."""
        text = str(error)
        what = self.url if name is None else f"{name!r} in the store {self.url}"
        if isinstance(error, AlreadyExistsError):
            return AlreadyExists(f"The object {name!r} exists already and is not replaced.")
        if isinstance(error, PreconditionError | NotModifiedError):
            return ObjectChanged(f"{what} was replaced or deleted during the read.")
        if isinstance(error, InvalidPathError):
            return StoreConfigError(
                f"{self.url} has an object that cannot be listed ({_short(error)}). Delete it, or use another prefix."
            )
        if missing := self._missing(name, error, text):
            return missing
        return self._refused(what, text) or self._answer(what, text, _short(error))

    def _missing(self, name: str | None, error: Exception, text: str) -> StoreError | None:
        code = _found(_CODE, text)
        if code in _NO_BUCKET or (name is None and _status(text) == 404 and not _CREDENTIALS.search(text)):
            place = "/".join(self.url.split("/")[:3])
            command = self.vendor.create.format(bucket=self.url.split("/")[2])
            return StoreConfigError(f"There is no {place}; run `{command}`, or check {self.vendor.place}.")
        if isinstance(error, FileNotFoundError) or code == "NoSuchKey":
            return NotFound(f"There is no object {name!r} in the store {self.url}.")
        return None

    def _refused(self, what: str, text: str) -> StoreError | None:
        """The error if another try does not help."""
        status, said = _status(text), _said(text)
        if _CLOCK.search(text):
            return StoreConfigError(f"{self.url} refused the time of this machine ({said}). Synchronize its clock.")
        if _REGION.search(text) or status in (301, 307):
            return StoreConfigError(f"{self.url} is not at this address or region ({said}). Check {self.vendor.place}.")
        if _FULL.search(text):
            return StoreFull(f"{self.url} has no space left ({said}). Make room, or raise its quota.")
        if status in (401, 403) and not _CREDENTIALS.search(text):
            vendor = self.vendor
            return StoreConfigError(f"No permission for {what} ({said}); {vendor.login}, and {vendor.permission}.")
        if _CREDENTIALS.search(text) and (status is None or status < 500):
            return StoreConfigError(f"There are no credentials for {self.url} ({said}); {self.vendor.login}.")
        return None

    def _answer(self, what: str, text: str, short: str) -> StoreError:
        status, said = _status(text), _said(text)
        if status is None:
            return StoreUnavailable(f"{self.url} cannot be reached ({short}). Check the network, then try again.")
        if status in (408, 409, 425, 429) or status >= 500:
            return StoreUnavailable(f"{self.url} answered {status} ({said}). Try again later.")
        return StoreError(f"{what}: the store answered {status} ({said}).")


def not_implemented(error: BaseException) -> bool:
    """Whether the server answered 501: it does not support the request."""
    return _status(str(error.__cause__ or error)) == 501


def _status(text: str) -> int | None:
    found = _STATUS.search(text)
    return int(found[1] or found[2]) if found else None


def _said(text: str) -> str:
    """The server's message, or the beginning of the text if there is none."""
    parts = [part for part in (_found(_CODE, text), _found(_MESSAGE, text)) if part]
    if not parts and (answer := _found(_ANSWER, text)):
        parts = [answer.rstrip(" :")]
    return ": ".join(parts)[:_SHOWN] if parts else _cleaned(text)


def _short(error: BaseException) -> str:
    return _cleaned(str(error))


def _cleaned(text: str) -> str:
    return _without_queries(text.split("\n", 1)[0]).rstrip(" :.")[:_SHOWN]


def _redacted(error: Exception) -> VendorError:
    return VendorError(f"{type(error).__name__}: {_without_queries(str(error).partition('Debug source')[0]).strip()}")


def _without_queries(text: str) -> str:
    return re.sub(r"(https?://[^\s?]*)\?\S*", r"\1?...", text)


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found else None
