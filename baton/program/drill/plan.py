"""What an attempt of a drill does: a JSON file whose path is in BATON_DRILL."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from baton.program.errors import ProgramError

DRILL_VARIABLE = "BATON_DRILL"
TICK, LOG, EPOCH, SAVE = "tick", "log", "epoch", "save"
UNITS = (TICK, LOG, EPOCH, SAVE)
"""What is counted since the beginning of the run: calls of `save_due`, `log`, `epoch`, and saves that have begun."""
SAVE_DUE, LOGGED, ROW = "save_due", "log", "epoch"
SAVE_BEGINS, SAVE_WRITTEN, SAVE_COMMITTED = "save begins", "save written", "save committed"
KILL, TERM, PAUSE = "kill", "term", "pause"


@dataclass(frozen=True)
class Act:
    """An interruption: at this point, if so much was counted of the unit.

    `point`: SAVE_DUE, LOGGED, ROW, SAVE_BEGINS, SAVE_WRITTEN (files written, save not there yet) or SAVE_COMMITTED.
    `do`: KILL (SIGKILL to the process group), TERM (SIGTERM to the process), PAUSE (SIGSTOP to the process group).
    """

    unit: str
    count: int
    point: str
    do: str


@dataclass(frozen=True)
class Plan:
    """The plan of one attempt.

    `trace`: the file to which the process appends what it sees. `spread`: the run saves at about this many to twice as
    many steps, spread over its length; 0: it saves at `ticks`, the numbers of calls of `save_due`. `looks`: whether the
    variables of the program are recorded. `others_group`: the process group of the drill, which is never killed.
    """

    trace: str
    spread: int = 0
    seed: int = 0
    ticks: tuple[int, ...] = ()
    acts: tuple[Act, ...] = field(default=())
    looks: bool = True
    others_group: int = 0

    def write(self, file: Path) -> None:
        """Writes the plan as JSON."""
        file.write_text(json.dumps(asdict(self)))


def read_plan() -> Plan:
    """The plan that BATON_DRILL names.

    Raises:
        ProgramError: it cannot be read.
    """
    name = os.environ[DRILL_VARIABLE]
    try:
        found = json.loads(Path(name).read_text())
        acts = tuple(Act(**one) for one in found.pop("acts"))
        return Plan(**{**found, "acts": acts, "ticks": tuple(found["ticks"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProgramError(f"{DRILL_VARIABLE}={name}: not a plan of `baton drill`: {error}; unset it") from error
