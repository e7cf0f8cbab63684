"""The options of a drill."""

from __future__ import annotations

from dataclasses import dataclass, field

from baton.drill.process import Limits

KILLS, QUICK_KILLS = 6, 2
SPREAD, QUICK_SPREAD = 10, 5


@dataclass(frozen=True)
class Options:
    """`kills`: the number of interruptions. `spread`: the run saves at this many to twice as many steps. `ignored`:
    patterns of names that are not compared.
    """

    seed: int = 0
    kills: int = KILLS
    spread: int = SPREAD
    ignored: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
