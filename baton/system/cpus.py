"""The number of CPUs that this process may use. In a container it is often less than the machine's number."""

from __future__ import annotations

import math
import os
from pathlib import Path

from baton.system.cgroups import OWN, ROOT, folders, text_of


def cpus(own: Path = OWN, root: Path = ROOT) -> int:
    """The CPUs of this process: the smaller of its affinity mask and its container's CPU quota, at least 1.

    A fractional quota is rounded up: a quota of 2.5 CPUs gives 3.
    """
    quota = cpu_quota(own, root)
    return _allowed() if quota is None else max(1, min(_allowed(), math.ceil(quota)))


def _allowed() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota(own: Path = OWN, root: Path = ROOT) -> float | None:
    """The CPUs that the control groups allow: the lowest limit from the process's group up to the root. None: no limit.

    Version 2: `cpu.max` holds the quota or `max`, and the period. Version 1: `cpu.cfs_quota_us` (-1: no limit) and
    `cpu.cfs_period_us`. All are in microseconds.
    """
    found = [_limit(version, folder) for version, folder in folders("cpu", own, root)]
    return min((limit for limit in found if limit is not None), default=None)


def _limit(version: int, folder: Path) -> float | None:
    if version == 1:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        words = [word for name in names for word in text_of(folder / name).split()]
    else:
        words = text_of(folder / "cpu.max").split()
    if len(words) != 2 or not all(word.isdigit() for word in words) or "0" in words:
        return None
    quota, period = map(int, words)
    return quota / period
