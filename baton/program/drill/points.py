"""A local run below `baton drill`: it saves where the plan says, and interrupts itself where the plan says.

The interruptions are real signals, and they come at counted points. So a seed gives the same interruptions again,
however fast the machine is.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baton.program.backend import Mark, Point, SaveRequest
from baton.program.control import Control
from baton.program.drill.looking import drawn_from, generators, variables
from baton.program.drill.plan import (
    EPOCH,
    KILL,
    LOG,
    LOGGED,
    PAUSE,
    ROW,
    SAVE,
    SAVE_BEGINS,
    SAVE_COMMITTED,
    SAVE_DUE,
    SAVE_WRITTEN,
    TICK,
    UNITS,
    Act,
    Plan,
    read_plan,
)
from baton.program.drill.spread import Spread
from baton.program.drill.trace import Trace, versions
from baton.program.local import LocalBackend, run_folder
from baton.program.run import Run
from baton.program.signals import StopSignals

KEY = "drill"
_ROWS_THAT_SAVE = 2
"""After so many first rows of the history a save follows, so that also the boundary of an epoch is compared."""


def drilled_run(folder: Path | None, params: Mapping[str, Any], data: Mapping[str, str | os.PathLike[str]]) -> Run:
    """The run of a process that `baton drill` has started."""
    plan = read_plan()
    observer = Observer(plan, Trace(Path(plan.trace)))
    control = DrilledControl(observer)
    backend = DrilledBackend(run_folder(folder), params, data, observer)
    return Run(backend, control, StopSignals(control))


class Observer:
    """Counts the calls of the program since the beginning of its run, and does what the plan says.

    `counts`: see baton.program.drill.plan.UNITS. `due`: whether the last `save_due` was true.
    """

    def __init__(self, plan: Plan, trace: Trace) -> None:
        self.plan = plan
        self.trace = trace
        self.counts = dict.fromkeys(UNITS, 0)
        self.due = False
        self.step: int | None = None
        self._acts = list(plan.acts)
        self._spread = Spread(plan.spread, plan.seed) if plan.spread else None
        self._always: set[int] = set()
        self._ticks = set(plan.ticks)
        self._looked: set[str] = set()

    def begin(self, mark: Mark, attempt: int, step: int | None) -> None:
        """Continues the counts of the save from which the run continues."""
        self.counts |= mark.extra.get(KEY, {}).get("counts", {})
        self.trace.write("start", counts=self.counts, attempt=attempt, step=step, pid=os.getpid(), **versions())

    def count(self, unit: str) -> None:
        """One more of the unit."""
        self.counts[unit] += 1
        self.trace.live(self.counts, self.step)

    def reach(self, point: str) -> None:
        """Does what is planned for this point."""
        for act in [one for one in self._acts if one.point == point and one.count == self.counts[one.unit]]:
            self._acts.remove(act)
            self._do(act)

    def look(self, point: str) -> None:
        """Records the variables of the program, the first time after the start and after each save."""
        if self.plan.looks and point not in self._looked:
            self._looked.add(point)
            found = {"variables": variables(sys._getframe(2)), "generators": generators(), "drawn": drawn_from()}
            self.trace.write("look", point=point, counts=self.counts, step=self.step, **found)

    def saved(self, tick: int, step: int, folder: str) -> None:
        """A save is there: what comes next is looked at."""
        self.trace.write("save", tick=tick, step=step, folder=folder, counts=self.counts)
        self._looked.clear()

    def row(self) -> None:
        """A row of the history."""
        if self.counts[EPOCH] <= _ROWS_THAT_SAVE:
            self._always.add(self.counts[TICK] + 1)

    def wants_save(self) -> bool:
        """Whether the plan has a save at this call of `save_due`."""
        tick = self.counts[TICK]
        if self._spread is None:
            return tick in self._ticks
        return tick in self._always or self._spread.chosen(tick)

    def thinned(self, ticks: list[int]) -> set[int]:
        """Which of these saves, that the plan has made, are not needed any more."""
        if self._spread is None:
            return set()
        kept = self._spread.thinned(tick for tick in ticks if tick not in self._always)
        return set(ticks) - set(kept) - self._always

    def _do(self, act: Act) -> None:
        self.trace.write("act", counts=self.counts, step=self.step, **vars(act))
        if act.do in (KILL, PAUSE):
            number = signal.SIGKILL if act.do == KILL else signal.SIGSTOP
            if os.getpgrp() == self.plan.others_group:  # started by something else than the drill
                os.kill(os.getpid(), number)
            else:
                os.killpg(os.getpgrp(), number)
            self.trace.write("continued")
        else:
            os.kill(os.getpid(), signal.SIGTERM)


class DrilledControl(Control):
    """A save is due where the plan says, and when the program must stop; never by time."""

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self._observer = observer

    def save_due(self) -> bool:
        """Counts the call."""
        observer = self._observer
        observer.step = self.step
        observer.count(TICK)
        observer.look(SAVE_DUE)
        observer.reach(SAVE_DUE)
        observer.due = super().save_due() or (self.stop is None and observer.wants_save())
        return observer.due


class DrilledBackend(LocalBackend):
    """A folder whose saves all stay, except those that the plan has made too many of."""

    def __init__(
        self,
        folder: Path,
        params: Mapping[str, Any],
        data: Mapping[str, str | os.PathLike[str]],
        observer: Observer,
    ) -> None:
        self._observer = observer
        self._made: dict[int, Path] = {}
        super().__init__(folder, params, data)
        observer.begin(self._restored, self.attempt, self.saved.step if self.saved else None)

    def log(self, points: list[Point]) -> None:
        """Appends to series.csv."""
        super().log(points)
        self._observer.step = points[0][1]
        self._observer.count(LOG)
        self._observer.look(LOGGED)
        self._observer.reach(LOGGED)

    def epoch(self, epoch: int, step: int, metrics: dict[str, float]) -> None:
        """Appends to history.csv."""
        super().epoch(epoch, step, metrics)
        self._observer.count(EPOCH)
        self._observer.trace.write("epoch", epoch=epoch, step=step, counts=self._observer.counts)
        self._observer.row()
        self._observer.reach(ROW)

    def new_folder(self) -> Path:
        """A folder in `saves/`."""
        self._observer.count(SAVE)
        folder = super().new_folder()
        self._observer.reach(SAVE_BEGINS)
        return folder

    def mark(self) -> Mark:
        """Also the counts."""
        mark = super().mark()
        own = {"counts": {**self._observer.counts}, "due": self._observer.due}
        return Mark(mark.points, mark.last_epoch, {**mark.extra, KEY: own})

    def commit(self, folder: Path, save: SaveRequest, mark: Mark, stall: float) -> None:
        """Keeps all saves, except those of the plan that are too many."""
        self._observer.reach(SAVE_WRITTEN)
        super().commit(folder, save, mark, stall)
        made = next(path for path in self._folder.glob("saves/[0-9]*-*") if path.name.startswith(_number(folder)))
        tick = mark.extra[KEY]["counts"][TICK]
        self._observer.saved(tick, save.step, made.name)
        if mark.extra[KEY]["due"]:
            self._made[tick] = made
            for old in self._observer.thinned([*self._made]) - {tick}:
                path = self._made.pop(old)
                shutil.rmtree(path.rename(path.with_name(f"part-{path.name}")))
        self._observer.reach(SAVE_COMMITTED)

    def stopped(self, step: int | None) -> None:
        """Says how to continue."""
        self._observer.trace.write("stopped", step=step)
        super().stopped(step)

    def close(self) -> None:
        """The run has ended."""
        self._observer.trace.write("end", counts=self._observer.counts, step=self._observer.step, **versions())
        super().close()


def _number(files: Path) -> str:
    return files.parent.name.removeprefix("part-") + "-"
