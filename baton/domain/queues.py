"""RQ names shared by the reconciler and the workers: queues, and the only function that a message may name."""

from __future__ import annotations

from collections.abc import Iterable

FUNCTION = "worker.attempt"
RQ_PREFIX = "baton:"
"""Prefix of all Baton RQ queue names: another application may use the same Redis."""

PRIORITIES = ("high", "normal", "low")
QUEUE = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""The form of a queue's name in a spec."""


def rq_queue(queue: str, priority: str) -> str:
    """The RQ queue for attempts of jobs in `queue` with this priority.

    >>> rq_queue("default", "high")
    'baton:default:high'
    """
    return f"{RQ_PREFIX}{queue}:{priority}"


def rq_queues(queues: Iterable[str]) -> list[str]:
    """The RQ queues that a worker of `queues` listens to, the most urgent first."""
    names = list(queues)
    return [rq_queue(queue, priority) for priority in PRIORITIES for queue in names]
