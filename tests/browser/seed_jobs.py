"""Short descriptions of jobs and their attempts, from which rows are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

HOSTILE = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"
STAGES = (("warm-32", 32, 256, 14), ("grow-64", 64, 64, 22), ("augmented-32", 32, 256, 26), ("polish-64", 64, 64, 18))


@dataclass(frozen=True)
class Held:
    """One attempt: the epoch at which it ended (None: it is still held), and how it ended."""

    until: float | None
    state: str = "running"
    reason: str | None = None
    message: str | None = None
    worker: str = "spot-a100-3"


@dataclass
class SeedJob:
    """A job and its attempts. `held`: the attempts in order. `goes_on`: the state of a job that has not ended.

    `silent`: how long ago its worker sent the last heartbeat. `series`: it has metrics by step and system metrics.
    """

    name: str
    state: str
    held: Sequence[Held] = ()
    stages: Sequence[tuple[str, int, int, int]] = STAGES
    best: float = 0.62
    labels: dict[str, str] = field(default_factory=dict)
    began: timedelta = timedelta(hours=2)
    desired: str = "run"
    reason: str | None = None
    message: str | None = None
    results: dict[str, float] = field(default_factory=dict)
    silent: timedelta = timedelta(0)
    series: bool = False
