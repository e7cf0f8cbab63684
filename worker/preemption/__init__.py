"""Preemption notices of clouds, from their metadata servers."""

from worker.preemption.watcher import Choice, watch_notices

__all__ = ["Choice", "watch_notices"]
