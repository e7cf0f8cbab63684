"""What the reconciler and the workers agree on about RQ: queue names, and the one function a message may name."""

from __future__ import annotations

from collections.abc import Iterable

FUNCTION = "worker.attempt"
RQ_PREFIX = "baton:"
"""Prefix of all Baton RQ queue names: another application may use the same Redis."""

PRIORITIES = ("high", "normal", "low")
QUEUE = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""What a queue may be called."""


def rq_queue(queue: str, priority: str) -> str:
    """The RQ queue for attempts of jobs in `queue` with this priority."""
    return f"{RQ_PREFIX}{queue}:{priority}"


def rq_queues(queues: Iterable[str]) -> list[str]:
    """The RQ queues that a worker of `queues` listens to, the most urgent first."""
    names = list(queues)
    return [rq_queue(queue, priority) for priority in PRIORITIES for queue in names]
