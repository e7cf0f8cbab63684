"""What a run leaves: its saves, rows, series, published files, and files of arrays in its working folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from filecmp import cmp
from functools import cached_property
from pathlib import Path
from typing import Any

from baton.drill.files.readers import ARRAYS
from baton.drill.process import Attempt
from baton.drill.program import RunFolder
from baton.program.drill.plan import LOG, LOGGED, SAVE_DUE, TICK
from baton.program.drill.points import KEY

Counts = dict[str, int]


@dataclass(frozen=True)
class SaveRecord:
    """One save. `counts`: what was counted before it. `due`: whether the drill asked for it."""

    step: int
    counts: Counts
    due: bool
    cursor: dict[str, Any]
    metrics: dict[str, float]
    files: Path

    @property
    def tick(self) -> int:
        """The number of calls of `save_due` before it."""
        return self.counts.get(TICK, 0)


@dataclass(frozen=True)
class SeriesRow:
    """A point as its text in the file, so that no bit is lost."""

    name: str
    step: int
    value: str


@dataclass
class RunRecord:
    """A run: its attempts, and what it left in its folder."""

    name: str
    folder: RunFolder
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Seconds of all its processes."""
        return sum(one.seconds for one in self.attempts)

    @cached_property
    def saves(self) -> list[SaveRecord]:
        """The saves, oldest first; of several at the same step the newest."""
        found = {}
        for path in sorted(self.folder.run.glob("saves/[0-9]*-*")):
            meta = json.loads((path / "save.json").read_bytes())
            own = meta["mark"]["extra"].get(KEY, {"counts": {}, "due": False})
            found[meta["step"]] = SaveRecord(
                meta["step"], own["counts"], own["due"], meta["cursor"], meta["metrics"], path / "files"
            )
        return [found[step] for step in sorted(found)]

    @cached_property
    def history(self) -> list[dict[str, str]]:
        """The rows of history.csv."""
        file = self.folder.run / "history.csv"
        if not file.exists():
            return []
        with file.open(newline="", encoding="utf-8") as read:
            return [{name: one for name, one in row.items() if one != ""} for row in csv.DictReader(read)]

    @cached_property
    def series(self) -> list[SeriesRow]:
        """The rows of series.csv. A last line that is not complete is left out."""
        file = self.folder.run / "series.csv"
        lines = file.read_text().split("\n")[1:-1] if file.exists() else []
        parts = (line.rsplit(",", 2) for line in lines)
        return [SeriesRow(name, int(step), value) for name, step, value in parts]

    @property
    def published(self) -> dict[str, Path]:
        """The published files by name."""
        return files_below(self.folder.run / "published")

    @property
    def left_in_the_working_folder(self) -> dict[str, Path]:
        """Files that the program wrote into the last copy of its code. Caches of Python are left out."""
        code = {chosen.member.path: chosen.source for chosen in self.folder.files.files}
        found = files_below(self.folder.code)
        return {
            name: path
            for name, path in found.items()
            if "__pycache__" not in name and not (name in code and cmp(path, code[name], shallow=False))
        }

    @property
    def arrays_in_the_working_folder(self) -> dict[str, Path]:
        """Of these files, those that are known to have arrays."""
        return {name: one for name, one in self.left_in_the_working_folder.items() if one.suffix.lower() in ARRAYS}

    @property
    def ticks(self) -> list[int]:
        """The calls of `save_due` at which the drill asked for a save that stayed."""
        return [save.tick for save in self.saves if save.due]

    @property
    def totals(self) -> Counts:
        """What was counted at the end of the run, or as far as it is known."""
        found: Counts = {}
        for event in self.events():
            if "counts" in event:
                found = {name: max(count, found.get(name, 0)) for name, count in event["counts"].items()}
        return found

    @property
    def versions(self) -> dict[str, str]:
        """Of the interpreter and the frameworks."""
        last = list(self.events("end", "start"))
        names = ("kind", "counts", "step", "attempt", "pid")
        return {name: one for name, one in last[-1].items() if name not in names} if last else {}

    def events(self, *kinds: str) -> Iterable[dict[str, Any]]:
        """The events of all attempts in their order."""
        return (event for one in self.attempts for event in one.events if not kinds or event["kind"] in kinds)

    @cached_property
    def looks(self) -> dict[tuple[str, int], dict[str, Any]]:
        """What was seen, by the point and how often it was reached. The first look counts."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for event in self.events("look"):
            found.setdefault(look_key(event), event)
        return found


def look_key(event: dict[str, Any]) -> tuple[str, int]:
    """The place of a look: the same in all runs of a correct program."""
    unit = {SAVE_DUE: TICK, LOGGED: LOG}[event["point"]]
    return event["point"], event["counts"][unit]


def files_below(folder: Path) -> dict[str, Path]:
    """All files below a folder, by their relative paths. A folder that is not there has none."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
