"""Turns exceptions of Google's client libraries into errors of the store."""

import contextlib
from collections.abc import Iterator

import requests
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage.exceptions import DataCorruption

from baton.storage.errors import (
    AlreadyExists,
    Corrupted,
    NotFound,
    StoreConfigError,
    StoreError,
    StoreUnavailable,
)

LOGIN = "run `gcloud auth application-default login` or set GOOGLE_APPLICATION_CREDENTIALS"


@contextlib.contextmanager
def translated(url: str, name: str | None) -> Iterator[None]:
    """Turn every exception of the block into a StoreError. `name`: None if only the bucket can be missing."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise store_error(url, name, error) from error


def store_error(url: str, name: str | None, error: BaseException) -> StoreError:
    """Return the store's error for an exception of the library. After retries: for the last exception."""
    if isinstance(error, RetryError):
        return StoreUnavailable(f"{url} did not answer in time ({error.cause}). Check the network, then try again.")
    if isinstance(error, GoogleAPICallError):
        return _answer(url, name, error)
    if isinstance(error, DataCorruption):
        return Corrupted(f"{_what(url, name)} was received with a wrong checksum. Try again.")
    if isinstance(error, GoogleAuthError) and not error.retryable:
        return StoreConfigError(f"Google's credentials for {url} do not work ({error}); {LOGIN}.")
    if isinstance(error, GoogleAuthError | requests.RequestException | OSError):
        return StoreUnavailable(f"{url} cannot be reached ({error}). Check the network, then try again.")
    return StoreUnavailable(f"The transfer of {_what(url, name)} was interrupted ({error}). Try again.")


def _answer(url: str, name: str | None, error: GoogleAPICallError) -> StoreError:
    """The error for an HTTP error answer."""
    code = int(error.code or 0)
    if code == 404:
        return _missing(url, name, error)
    if code == 412:
        return AlreadyExists(f"The object {name!r} exists already and is not replaced.")
    if code in (401, 403):
        hint = f"{LOGIN}, and grant roles/storage.objectUser on the bucket"
        return StoreConfigError(f"No permission for {_what(url, name)} ({error.message}); {hint}.")
    if code in (408, 429) or code >= 500:
        return StoreUnavailable(f"{url} answered {code} ({error.message}). Try again later.")
    return StoreError(f"{_what(url, name)}: the store answered {code} ({error.message}).")


def _missing(url: str, name: str | None, error: GoogleAPICallError) -> StoreError:
    if name is None or "bucket does not exist" in str(error.message):
        bucket = "/".join(url.split("/")[:3])
        return StoreConfigError(f"There is no bucket {bucket}; run `gcloud storage buckets create {bucket}`.")
    return NotFound(f"There is no object {name!r} in the store {url}.")


def _what(url: str, name: str | None) -> str:
    return url if name is None else f"{name!r} in the store {url}"
