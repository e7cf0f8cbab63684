"""The names that service and worker must agree on in Redis."""

from __future__ import annotations

from collections.abc import Iterable

ATTEMPT_FUNCTION = "worker.attempt"
"""The only function name that a message may carry, and the only one that a worker runs."""

PRIORITIES = ("high", "normal", "low")


def queue_name(queue: str, priority: str) -> str:
    """The RQ queue that holds the messages of one queue and priority."""
    return f"baton:{queue}:{priority}"


def queue_names(queues: Iterable[str]) -> tuple[str, ...]:
    """The RQ queues of a worker in the order in which it empties them: priority first, then the order given."""
    given = tuple(queues)
    return tuple(queue_name(queue, priority) for priority in PRIORITIES for queue in given)
