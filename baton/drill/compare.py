"""Compares two runs: rows, points, saves of the same step, and final files."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from filecmp import cmp
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from baton.drill.files.leaf import Leaves, flat
from baton.drill.files.readers import how_much, read_leaves
from baton.drill.record import RunRecord, SaveRecord, SeriesRow

SERIES, HISTORY, CHECKPOINT, FINAL = "series", "history", "checkpoint", "file"
_ORDER = (SERIES, HISTORY, CHECKPOINT, FINAL)
END = math.inf
MOST_OF_A_NAME = 50
GLOBAL_GENERATORS = re.compile(r"(^|[ .:])random\.(python|numpy)(\.|:|$)")
"""The adapters save the generators of Python and NumPy, which differ in each process if the program does not seed them.
What they are drawn for shows a difference.
"""


@dataclass(frozen=True)
class Difference:
    """One difference. `where`: SERIES, HISTORY, CHECKPOINT or FINAL. `name`: of the metric, the file, or the array.

    `step`: of the row or the save; END for final files. `text`: one line for people. `kind`: `value`, `missing` (not in
    the interrupted run) or `extra` (only there).
    """

    where: str
    step: float
    name: str
    text: str
    kind: str = "value"

    @property
    def place(self) -> tuple[float, int]:
        """The order in which differences have come about."""
        return self.step, _ORDER.index(self.where)


@dataclass
class Comparison:
    """All differences, first ones first, and how much was compared. Of one name only the first 50 are kept.

    In the texts, the value of the run without interruptions comes first.
    """

    differences: list[Difference] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    ignored: tuple[str, ...] = ()
    _of_name: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, found: Difference) -> None:
        """Adds a difference, if its name is not to be ignored."""
        key = found.where, found.name
        if not self.is_ignored(found.name) and self._of_name[key] < MOST_OF_A_NAME:
            self._of_name[key] += 1
            self.differences.append(found)

    def is_ignored(self, name: str) -> bool:
        """Whether the user left this name out, or it is the state of a global generator in a save of an adapter."""
        return GLOBAL_GENERATORS.search(name) is not None or any(
            fnmatch(name, pattern) or fnmatch(name.rpartition(": ")[2], pattern) for pattern in self.ignored
        )

    @property
    def first(self) -> Difference | None:
        """The difference that came about first."""
        return min(self.differences, key=lambda one: one.place, default=None)

    @property
    def first_checkpoint(self) -> Difference | None:
        """The first save that differs."""
        odd = [one for one in self.differences if one.where == CHECKPOINT]
        return min(odd, key=lambda one: one.place, default=None)


def compare(whole: RunRecord, other: RunRecord, ignored: Sequence[str] = (), until: float = END) -> Comparison:
    """Compares two runs of the same program.

    `whole`: ran without an interruption. `ignored`: patterns of names, as in a shell. `until`: compares only what
    belongs to the steps before this one, because the other run was ended there.
    """
    found = Comparison(ignored=tuple(ignored))
    _compare_series(whole.series, other.series, found, until)
    _compare_history(whole.history, other.history, found, until)
    _compare_saves(whole.saves, other.saves, found, until)
    if until == END:
        _compare_files(whole.published, other.published, found, "published", both=True)
        _compare_files(
            whole.arrays_in_the_working_folder, other.arrays_in_the_working_folder, found, "working folder", both=False
        )
    found.differences.sort(key=lambda one: one.place)
    return found


def _compare_series(whole: list[SeriesRow], other: list[SeriesRow], found: Comparison, until: float) -> None:
    by_name: dict[str, tuple[list[SeriesRow], list[SeriesRow]]] = {}
    for side, rows in enumerate((whole, other)):
        for row in rows:
            if row.step < until:
                by_name.setdefault(row.name, ([], []))[side].append(row)
    for name, (first, second) in by_name.items():
        found.counted["points"] += len(first)
        keys = Counter(row.step for row in first), Counter(row.step for row in second)
        for step, count in (keys[0] - keys[1]).items():
            text = f"series {name}: the point of step {step} is missing{_times(count)}"
            found.add(Difference(SERIES, step, name, text, "missing"))
        for step, count in (keys[1] - keys[0]).items():
            text = f"series {name}: step {step} has {count} point{'s' if count > 1 else ''} too many"
            found.add(Difference(SERIES, step, name, text, "extra"))
        values = {row.step: row.value for row in second}
        for row in first:
            if row.step in values and values[row.step] != row.value:
                text = f"series {name}, step {row.step}: {row.value} against {values[row.step]}"
                found.add(Difference(SERIES, row.step, name, text))


def _times(count: int) -> str:
    return f" {count} times" if count > 1 else ""


def _compare_history(whole: list[dict[str, str]], other: list[dict[str, str]], found: Comparison, until: float) -> None:
    rows = [{int(row["epoch"]): row for row in side if int(row["step"]) <= until} for side in (whole, other)]
    first, second = rows
    found.counted["rows"] += len(first)
    for epoch, row in first.items():
        step = int(row["step"])
        if epoch not in second:
            text = f"history: the row of epoch {epoch} is missing"
            found.add(Difference(HISTORY, step, "epoch", text, "missing"))
            continue
        for name in {**row, **second[epoch]}:
            one, two = row.get(name, "nothing"), second[epoch].get(name, "nothing")
            if one != two:
                text = f"history, row of epoch {epoch}, {name}: {one} against {two}"
                found.add(Difference(HISTORY, step, name, text))
    for epoch, row in second.items():
        if epoch not in first:
            text = f"history: the row of epoch {epoch} is only in the interrupted run"
            found.add(Difference(HISTORY, int(row["step"]), "epoch", text, "extra"))


def _compare_saves(whole: list[SaveRecord], other: list[SaveRecord], found: Comparison, until: float) -> None:
    second = {save.step: save for save in other}
    last = max(second, default=0)
    for save in whole:
        if save.step in second:
            found.counted["checkpoints"] += 1
            _compare_save(save, second[save.step], found)
        elif until == END:
            after = ", whose last one is" if save.step > last else ": others are at later steps, the last one is"
            text = f"checkpoint of step {save.step}: the interrupted run has none{after} that of step {last}"
            found.add(Difference(CHECKPOINT, save.step, "saves", text, "missing"))
    if until == END and second and whole and last > whole[-1].step:
        text = f"checkpoint of step {last}: only the interrupted run has it"
        found.add(Difference(CHECKPOINT, last, "saves", text, "extra"))


def _compare_save(one: SaveRecord, other: SaveRecord, found: Comparison) -> None:
    label = f"checkpoint of step {one.step}"

    def add(name: str, text: str, kind: str = "value") -> None:
        found.add(Difference(CHECKPOINT, one.step, name, f"{label}, {text}", kind))

    compare_leaves(dict(flat(one.cursor)), dict(flat(other.cursor)), "cursor", add)
    compare_leaves(dict(flat(one.metrics)), dict(flat(other.metrics)), "metrics", add)
    _compare_folders(_files(one.files), _files(other.files), found, add)


def _files(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _compare_files(
    whole: Mapping[str, Path], other: Mapping[str, Path], found: Comparison, place: str, *, both: bool
) -> None:
    """Final files. `both`: a file that only one run has is a difference."""

    def add(name: str, text: str, kind: str = "value") -> None:
        found.add(Difference(FINAL, END, name, f"{place}, {text}", kind))

    names = [*{**whole, **other}] if both else [name for name in whole if name in other]
    _compare_folders({n: whole[n] for n in names if n in whole}, {n: other[n] for n in names if n in other}, found, add)


def _compare_folders(
    whole: Mapping[str, Path], other: Mapping[str, Path], found: Comparison, add: Callable[..., None]
) -> None:
    for name in {**whole, **other}:
        if name not in other or name not in whole:
            kind = "missing" if name not in other else "extra"
            add(name, f"file {name}: only {'without' if kind == 'missing' else 'with'} interruptions", kind)
            continue
        found.counted["files"] += 1
        if not cmp(whole[name], other[name], shallow=False):
            compare_leaves(read_leaves(whole[name]), read_leaves(other[name]), name, add)


def compare_leaves(whole: Leaves, other: Leaves, file: str, add: Callable[..., None]) -> None:
    """Calls `add(name, text, kind)` for each leaf that differs."""
    for path in {**whole, **other}:
        name = f"{file}: {path}" if path else file
        if path not in other or path not in whole:
            kind = "missing" if path not in other else "extra"
            add(name, f"{name}: only {'without' if kind == 'missing' else 'with'} interruptions", kind)
        elif whole[path].digest != other[path].digest:
            add(name, f"{name}: {how_much(whole[path], other[path])}")


def digests(record: RunRecord) -> dict[str, Any]:
    """The digests of all that is compared at the end of a run."""
    found: dict[str, Any] = {f"published/{name}": _digests_of(path) for name, path in record.published.items()}
    if record.saves:
        last = record.saves[-1]
        found |= {f"last checkpoint/{name}": _digests_of(path) for name, path in _files(last.files).items()}
        found["last checkpoint: cursor"] = {path: leaf.digest for path, leaf in flat(last.cursor)}
    return found


def _digests_of(path: Path) -> dict[str, str]:
    leaves: Iterator[tuple[str, Any]] = iter(read_leaves(path).items())
    return {name: leaf.digest for name, leaf in leaves}
