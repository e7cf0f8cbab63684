"""Versions of the messages between worker and service, and how each side talks to an older one.

There are two numbers. Each side sends both, except releases of commit e9172d9 and before: an absent number means 1.

`PROTOCOL` counts changes of the messages and of their meaning:
  1: the messages of commit e9172d9. They contain no version.
  2: each side sends its version. Unknown enum values are accepted. New reasons: see `_NEWER`.
  3: `runtime_left` in the grant. New reasons: see `_NEWER`.
  4: `store` in the grant, and routes for the attempt's objects. A worker needs no store of its own.
  5: `start` in the grant.
  6: programs. Rows of the history have `metrics`; step metrics are sent as series. An attempt that restores a
     checkpoint deletes later rows and points. New reasons: see `_NEWER`.

`SPEC_VERSION` counts changes of the job spec that a worker must understand (baton.domain.spec.versions marks them):
  1: the spec of commit e9172d9.
  2: `dataset.on_change`.
  3: `limits`.
  4: `dataset.data`, `dataset.nested`, `dataset.on_broken`. A URL as `dataset.path`.
  5: no field. A job that starts from the checkpoint of another job needs it, because older workers ignore `start`.
  6: a job with `program` in place of `network`, `dataset` and `stages`. The network `tiny-cnn`. `limits.budget`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from baton.domain.reasons import Reason

PROTOCOL = 6
SPEC_VERSION = 6
FIRST = 1
"""The version of a side that sends none."""

TAKES_SERIES = 6
"""The protocol of a service that stores series."""

ROLLS_BACK_HISTORY = 6
"""The protocol of a service that deletes the rows of the history after the checkpoint that an attempt restored."""

STARTS_FROM_ANOTHER_JOB = 5
"""The spec version that such a job needs."""

CANNOT_READ = "this worker cannot run the spec: "
"""Start of the message with which a worker of protocol 1 gives back an attempt whose spec it cannot read."""

_E = TypeVar("_E", bound=StrEnum)

# Reason -> the protocol that added it, and the nearest older reason. A service of protocol 1 answers 422 to an unknown
# reason, and the attempt would then end only when its lease expires.
_NEWER: dict[Reason, tuple[int, Reason]] = {
    Reason.WORKER_TOO_OLD: (2, Reason.PROCESS_DIED),
    Reason.WRONG_STORE: (2, Reason.STORE_REFUSED),
    Reason.NOT_FINITE: (2, Reason.EXCEPTION),
    Reason.DATA_CHANGED: (2, Reason.RESTORE_FAILED),
    Reason.STALLED: (3, Reason.PROCESS_DIED),
    Reason.MAX_RUNTIME: (3, Reason.EXCEPTION),
    Reason.BUDGET_REACHED: (6, Reason.EXCEPTION),
    Reason.SOURCE_LOST: (5, Reason.RESTORE_FAILED),
    Reason.CODE_REFUSED: (6, Reason.UNSUPPORTED),
}


def known(values: type[_E], value: str | None) -> _E | None:
    """The member of the enum with this value. None if this version does not know it."""
    try:
        return None if value is None else values(value)
    except ValueError:
        return None


def reason_for(protocol: int, reason: str | None) -> str | None:
    """The nearest reason that a service of this protocol knows."""
    found = known(Reason, reason)
    if found is None or found not in _NEWER:
        return reason
    since, nearest = _NEWER[found]
    return reason if protocol >= since else nearest
