"""Preemption notices from the metadata servers of clouds, and deadlines of sessions."""

from worker.preemption.clouds import Choice
from worker.preemption.watcher import watch_notices

__all__ = ["Choice", "watch_notices"]
