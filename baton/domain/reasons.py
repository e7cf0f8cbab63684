"""Why attempts end: the reasons, their categories, and which of them are outages."""

from __future__ import annotations

from enum import StrEnum


class Category(StrEnum):
    """The cause of the end of an attempt. It decides whether another attempt can help."""

    USER = "user"
    PREEMPTION = "preemption"
    INFRASTRUCTURE = "infrastructure"
    PROGRAM = "program"


class Reason(StrEnum):
    """Why an attempt or a job ended. These codes are stable: users and scripts see them."""

    PREEMPTED = "preempted"
    LEASE_EXPIRED = "lease_expired"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    BAD_DATA = "bad_data"
    DATA_CHANGED = "data_changed"
    CODE_REFUSED = "code_refused"
    UNSUPPORTED = "unsupported"
    PROCESS_DIED = "process_died"
    STALLED = "stalled"
    AUGMENTATION_DIED = "augmentation_died"
    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    CACHE_UNUSABLE = "cache_unusable"
    DOWNLOAD_FAILED = "download_failed"
    STORE_UNAVAILABLE = "store_unavailable"
    STORE_REFUSED = "store_refused"
    WRONG_STORE = "wrong_store"
    RESTORE_FAILED = "restore_failed"
    WORKER_TOO_OLD = "worker_too_old"
    EXCEPTION = "exception"
    TOO_MANY_FAILURES = "too_many_failures"
    NO_PROGRESS = "no_progress"
    DETERMINISTIC_FAILURE = "deterministic_failure"
    NOT_FINITE = "not_finite"
    MAX_RUNTIME = "max_runtime"
    BUDGET_REACHED = "budget_reached"
    SOURCE_LOST = "source_lost"


AT_A_LIMIT = (Reason.MAX_RUNTIME, Reason.BUDGET_REACHED)
"""The reasons of a job that is paused because it has reached a limit of its spec. Workers report only the first."""

_CATEGORIES = {
    Category.USER: {
        Reason.BAD_DATA,
        Reason.DATA_CHANGED,
        Reason.CODE_REFUSED,
        Reason.UNSUPPORTED,
        Reason.PAUSED,
        Reason.CANCELLED,
        Reason.MAX_RUNTIME,
        Reason.BUDGET_REACHED,
    },
    Category.PREEMPTION: {Reason.PREEMPTED, Reason.LEASE_EXPIRED},
    Category.PROGRAM: {
        Reason.EXCEPTION,
        Reason.TOO_MANY_FAILURES,
        Reason.NO_PROGRESS,
        Reason.DETERMINISTIC_FAILURE,
        Reason.NOT_FINITE,
    },
}


def category(reason: str) -> Category:
    """The category of a reason. Reasons that are unknown or not listed belong to the infrastructure."""
    for found, reasons in _CATEGORIES.items():
        if reason in reasons:
            return found
    return Category.INFRASTRUCTURE


def is_outage(reason: str) -> bool:
    """Whether an attempt ended because the store, the original data or a new enough worker was unavailable.

    The job waits for the end of the outage. This wait uses none of the job's retries.
    """
    return reason in (Reason.STORE_UNAVAILABLE, Reason.DATA_CHANGED, Reason.WORKER_TOO_OLD)
