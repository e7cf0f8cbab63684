"""The identity of a store: a small object at its root. It shows whether service and workers use the same store."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from baton.domain.scalars import Duration, Shown

IDENTITY = "baton-store.json"
"""The name of the object, below the prefix of the store's URL. All other objects are in folders."""

WRONG_STORE, STORE_UNREACHABLE, NOT_IN_STORE = "wrong-store", "store-unreachable", "not-in-store"
"""Codes of the service's refusals that a worker handles."""

SLOW = "slow"
StoreId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
_CREDENTIALS = re.compile(r"//[^/@]*@")


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class StoreIdentity(_Part):
    """The content of the object."""

    id: StoreId
    created_at: datetime


class StoreRef(_Part):
    """A worker's store. `id`: None if the store has no identity, or if it is unknown because of `problem`."""

    url: Annotated[str, Field(max_length=2000), Shown]
    id: StoreId | None = None
    problem: Annotated[str, Field(max_length=2000), Shown] | None = None


class StoreGrant(_Part):
    """The store of an attempt, as in the answer to its claim. `id`: None until the service has read it.

    `part_bytes`: the most bytes that one request to the service may carry.
    """

    url: Annotated[str, Field(max_length=2000), Shown]
    id: StoreId | None = None
    part_bytes: Annotated[int, Field(gt=0)]


class Trouble(_Part):
    """Calls to the store or to the service that fail and are retried.

    `cause`: the error code. `detail`: the error text. `what`: the work that waits, such as `saving`. `seconds`: time
    since the first failure in a row. The cause `SLOW` is not a failure: a call that has been running for `seconds`.
    """

    what: Annotated[str, Field(max_length=50), Shown]
    cause: Annotated[str, Field(max_length=50), Shown]
    detail: Annotated[str, Field(max_length=2000), Shown]
    seconds: Duration

    def __str__(self) -> str:
        if self.cause == SLOW:
            return f"{self.what} has been running for {self.seconds:.0f} s and has not finished"
        return f"{self.what} has failed for {self.seconds:.0f} s: {self.detail}"


def one_line(error: BaseException) -> str:
    """The error text in a form that fits in any message, even if it contains unusual file names."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.encode(errors="backslashreplace").decode()[:2000]


def shown_url(url: str) -> str:
    """The URL without credentials."""
    return _CREDENTIALS.sub("//...@", url)
