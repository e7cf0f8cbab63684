"""Preemption notices of clouds, from their metadata servers."""

from worker.notices.watcher import Choice, watch_notices

__all__ = ["Choice", "watch_notices"]
