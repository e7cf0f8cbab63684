"""Draws the interruptions of a run from a seed. The same seed and the same program give the same interruptions."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from baton.program.drill.plan import (
    EPOCH,
    KILL,
    LOG,
    LOGGED,
    PAUSE,
    SAVE,
    SAVE_BEGINS,
    SAVE_COMMITTED,
    SAVE_DUE,
    SAVE_WRITTEN,
    TERM,
    TICK,
    Act,
)

KILL_IN_SAVE = "kill in a save"
_ROUND = (KILL, TERM, KILL_IN_SAVE, PAUSE, KILL, KILL)
"""The kinds of the first interruptions; their order is drawn. Later ones repeat them."""
_UNITS = ((TICK, SAVE_DUE), (LOG, LOGGED), (SAVE, SAVE_BEGINS), (EPOCH, "epoch"))


@dataclass(frozen=True)
class Interruption:
    """`moved`: the next attempt gets a new copy of the code, as on another machine."""

    act: Act
    moved: bool

    def view(self) -> dict[str, Any]:
        """As in the result."""
        return {**asdict(self.act), "moved": self.moved}

    def __str__(self) -> str:
        names = {KILL: "SIGKILL", TERM: "SIGTERM", PAUSE: "SIGSTOP, SIGCONT"}
        return f"{names[self.act.do]} at {self.act.unit} {self.act.count} ({self.act.point})"


def draw_schedule(totals: Mapping[str, int], saves: Sequence[int], number: int, seed: int) -> list[Interruption]:
    """The interruptions, one in each of `number` equal parts of the run.

    `totals`: what the uninterrupted run counted. `saves`: the calls of `save_due` at which it saved. A SIGTERM comes at
    one of these, so that the save that it causes has a counterpart.
    """
    unit, point = next(((unit, point) for unit, point in _UNITS if totals.get(unit)), (SAVE, SAVE_BEGINS))
    total = totals.get(unit, 0)
    if total < 2:
        return []
    draw = random.Random(f"{seed}.schedule")  # noqa: S311  # no secret
    kinds = _kinds(number, draw)
    # Nothing is restored before the first save; later parts are of equal length.
    begin = min(saves[0], total // 2) if unit == TICK and saves else 1
    found: dict[int, Interruption] = {}
    for part, kind in enumerate(kinds):
        low = begin + (total - begin) * part // number
        high = max(low + 1, begin + (total - begin) * (part + 1) // number)
        act = _act(kind, unit, point, [one for one in saves if low <= one < high], draw.randrange(low, high), draw)
        found.setdefault(act.count, Interruption(act, draw.random() < 0.5))
    return _both_ways([found[count] for count in sorted(found)])


def _kinds(number: int, draw: random.Random) -> list[str]:
    kinds = [_ROUND[index % len(_ROUND)] for index in range(number)]
    draw.shuffle(kinds)
    return kinds


def _act(kind: str, unit: str, point: str, saves: list[int], count: int, draw: random.Random) -> Act:
    if unit == TICK and kind in (TERM, KILL_IN_SAVE) and saves:
        count = draw.choice(saves)
    if kind == KILL_IN_SAVE and (saves or unit == SAVE):
        return Act(unit, count, draw.choice((SAVE_BEGINS, SAVE_WRITTEN, SAVE_COMMITTED)), KILL)
    return Act(unit, count, point, KILL if kind == KILL_IN_SAVE else kind)


def _both_ways(found: list[Interruption]) -> list[Interruption]:
    """At least one attempt gets a new folder, and one continues in the old one."""
    ends = [index for index, one in enumerate(found) if one.act.do != PAUSE]
    if len(ends) > 1 and len({found[index].moved for index in ends}) == 1:
        last = found[ends[-1]]
        found[ends[-1]] = Interruption(last.act, not last.moved)
    return found
