"""Preemption notices from the metadata servers of clouds, and deadlines of sessions."""

from worker.preemption.watcher import Choice, watch_notices

__all__ = ["Choice", "watch_notices"]
