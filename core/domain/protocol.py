"""Versions of what travels between worker and service, and how each side talks to an older one.

Two numbers, both sent by each side that knows them; absent means 1, which is commit e9172d9.

`PROTOCOL` counts changes of the messages and of their meaning:
  1: the messages of commit e9172d9. They name no version.
  2: each side names its version. Unknown values of enums are read, not refused. Reasons that are new: `_NEWER`.

`SPEC_VERSION` counts changes of the job spec that a worker must understand (core.domain.spec.versions marks them):
  1: the spec of commit e9172d9.
  2: `dataset.on_change`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from core.domain.policies import Reason

PROTOCOL = 2
SPEC_VERSION = 2
FIRST = 1
"""The version of whoever names none."""

CANNOT_READ = "this worker cannot run the spec: "
"""So begins the message with which a worker of protocol 1 gives back an attempt whose spec it cannot read."""

_E = TypeVar("_E", bound=StrEnum)

# Reason -> the protocol that brought it, and the nearest reason before that. A service of protocol 1 answers 422 to a
# reason that it does not know, and the attempt would only end with its lease.
_NEWER: dict[Reason, tuple[int, Reason]] = {
    Reason.WORKER_TOO_OLD: (2, Reason.PROCESS_DIED),
    Reason.WRONG_STORE: (2, Reason.STORE_REFUSED),
    Reason.NOT_FINITE: (2, Reason.EXCEPTION),
    Reason.DATA_CHANGED: (2, Reason.RESTORE_FAILED),
}


def known(values: type[_E], value: str | None) -> _E | None:
    """The member of the enum with this value; None if this version does not know it."""
    try:
        return None if value is None else values(value)
    except ValueError:
        return None


def reason_for(protocol: int, reason: str | None) -> str | None:
    """The reason as a service of this protocol knows it."""
    found = known(Reason, reason)
    if found is None or found not in _NEWER:
        return reason
    since, nearest = _NEWER[found]
    return reason if protocol >= since else nearest
