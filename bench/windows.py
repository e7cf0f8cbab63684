"""Windows of a few steps with and without a checkpoint, shuffled, so that other programs affect all kinds equally."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import mean

ROUNDS_AT_LEAST = 5


class Kind(StrEnum):
    """What is saved in a window."""

    QUIET = "no checkpoint"
    STATE = "state"
    STATE_AND_FILE = "state and .keras"
    OFTEN = "a save every two seconds"
    BACKUP = "BackupAndRestore"
    MODEL = "ModelCheckpoint"


@dataclass(frozen=True)
class Mark:
    """A time by the clock and in processor time of this process. Other programs affect only the time by the clock."""

    clock: float
    cpu: float

    @classmethod
    def now(cls) -> Mark:
        """This moment."""
        return cls(time.perf_counter(), time.process_time())


@dataclass
class Rounds:
    """Seconds of the windows of each round, by kind. If a kind is twice in a round, the mean is used."""

    kinds: Sequence[Kind]
    steps: int
    seconds: list[dict[Kind, list[float]]] = field(default_factory=list)
    cpu: list[dict[Kind, list[float]]] = field(default_factory=list)

    def draw(self) -> Iterator[Kind]:
        """The kinds of a new round, in random order."""
        order = [*self.kinds]
        random.Random(len(self.seconds)).shuffle(order)
        self.seconds.append({kind: [] for kind in order})
        self.cpu.append({kind: [] for kind in order})
        yield from order

    def add(self, kind: Kind, begun: Mark, ended: Mark) -> None:
        """Add a window of the newest round."""
        self.seconds[-1][kind].append(ended.clock - begun.clock)
        self.cpu[-1][kind].append(ended.cpu - begun.cpu)

    def of(self, kind: Kind) -> list[float]:
        """Seconds of a window of this kind, one value for each round."""
        return [mean(one[kind]) for one in self.seconds]

    def costs(self, kind: Kind) -> list[float]:
        """Additional seconds of a window of this kind over one without a checkpoint, one value for each round."""
        return [mean(one[kind]) - mean(one[Kind.QUIET]) for one in self.seconds]

    def cpu_costs(self, kind: Kind) -> list[float]:
        """The same in seconds of processor time, summed over the cores."""
        return [mean(one[kind]) - mean(one[Kind.QUIET]) for one in self.cpu]

    def step_seconds(self) -> list[float]:
        """Seconds of a step without a checkpoint, one value for each round."""
        return [seconds / self.steps for seconds in self.of(Kind.QUIET)]

    def halves(self) -> float:
        """The noise: the relative difference between the even and the odd quiet windows."""
        quiet = [seconds for one in self.seconds for seconds in one[Kind.QUIET]]
        return mean(quiet[::2]) / mean(quiet[1::2]) - 1
