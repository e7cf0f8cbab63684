"""The schedule of faults: which member, which fault and when. A seed draws it before the run."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

SETTLED = 6.0
"""The first seconds, without faults: all members start, and the first jobs train."""


class Kind(StrEnum):
    """The kinds of faults."""

    KILL_SERVICE = "kill service"
    STOP_SERVICE = "stop service"
    FREEZE_SERVICE = "freeze service"
    KILL_WORKER = "kill worker"
    STOP_WORKER = "stop worker"
    FREEZE_WORKER = "freeze worker"
    KILL_TRAINING = "kill training"
    FREEZE_TRAINING = "freeze training"
    KILL_REDIS = "kill redis"
    RESET_LINK = "reset link"
    STALL_LINK = "stall link"
    REFUSE_LINK = "refuse link"
    LOSE_ON_LINK = "lose on link"
    FREEZE_LEADER = "freeze leader"
    STOP_DATABASE = "stop database"
    HANG_STORE = "hang store"
    STEP_CLOCK = "step clock"
    POISON_ROW = "poison row"
    OLD_WORKER = "old worker"


@dataclass(frozen=True)
class Draw:
    """The weight of a kind in the draw, and its shortest and longest duration in seconds."""

    weight: int
    shortest: float
    longest: float


DRAWS = {
    Kind.KILL_SERVICE: Draw(3, 0.2, 3),
    Kind.STOP_SERVICE: Draw(1, 0.2, 2),
    Kind.FREEZE_SERVICE: Draw(2, 0.5, 6),
    Kind.KILL_WORKER: Draw(3, 0.2, 2),
    Kind.STOP_WORKER: Draw(3, 0.2, 2),
    # Longer than the lease: another worker has the job when this one wakes.
    Kind.FREEZE_WORKER: Draw(4, 4, 8),
    Kind.KILL_TRAINING: Draw(5, 0, 0),
    Kind.FREEZE_TRAINING: Draw(2, 0.5, 8),
    Kind.KILL_REDIS: Draw(3, 0, 2),
    Kind.RESET_LINK: Draw(5, 0, 0),
    Kind.STALL_LINK: Draw(3, 0.5, 5),
    Kind.REFUSE_LINK: Draw(3, 0.5, 4),
    Kind.LOSE_ON_LINK: Draw(6, 1, 4),
    # Longer than the leader's lease: another replica leads when this one continues.
    Kind.FREEZE_LEADER: Draw(1, 4, 8),
    # As long as two leases: no replica can accept a heartbeat during this time.
    Kind.STOP_DATABASE: Draw(1, 6, 7),
    Kind.HANG_STORE: Draw(1, 60, 60),
    Kind.STEP_CLOCK: Draw(2, 4, 12),
    Kind.POISON_ROW: Draw(2, 0, 0),
    Kind.OLD_WORKER: Draw(1, 15, 30),
}
SHARE = 1 / 8
"""The largest share of a run that one fault may take: a short run has short faults."""


@dataclass(frozen=True)
class ScheduledFault:
    """One fault, `at` this many seconds from the start. `target` is taken modulo the number of members."""

    at: float
    kind: Kind
    target: int
    seconds: float

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at:6.1f} s: {self.kind}{lasts}"


def faults(seed: int, seconds: float, every: float) -> list[ScheduledFault]:
    """The faults of a run of this many seconds, on average one every `every` seconds."""
    draw, found = random.Random(f"faults of {seed}"), list[ScheduledFault]()
    at, bag = SETTLED, list[Kind]()
    while (at := at + draw.expovariate(1 / every)) < seconds:
        bag = bag or _bag(draw)
        kind = bag.pop()
        lasts = min(draw.uniform(DRAWS[kind].shortest, DRAWS[kind].longest), SHARE * seconds)
        found.append(ScheduledFault(at, kind, draw.randrange(2**16), lasts))
    return found


def _bag(draw: random.Random) -> list[Kind]:
    """Each kind as often as its weight, in random order. So no kind is left out for long."""
    bag = [kind for kind, one in DRAWS.items() for _ in range(one.weight)]
    draw.shuffle(bag)
    return bag
