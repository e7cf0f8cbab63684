"""The files of a data set that are not used, by cause. An event reports them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from worker.training.data.failures import BrokenFiles

_SHOWN_SUFFIXES = 10


@dataclass(frozen=True)
class LeftOut:
    """How many files are not used.

    `suffixes`: files in class folders by suffix, in lower case, "" without one; hidden files are not counted.
    `in_subfolders`: images in subfolders of class folders, without `dataset.nested`. `beside`: images next to the class
    folders. `broken`: broken files, with `dataset.on_broken: skip`.
    """

    suffixes: Counter[str] = field(default_factory=Counter)
    in_subfolders: int = 0
    beside: int = 0
    broken: BrokenFiles = field(default_factory=BrokenFiles)

    @property
    def total(self) -> int:
        """All files that are not used."""
        return self.suffixes.total() + self.in_subfolders + self.beside + len(self.broken.rows)

    def __add__(self, other: LeftOut) -> LeftOut:
        return LeftOut(
            self.suffixes + other.suffixes,
            self.in_subfolders + other.in_subfolders,
            self.beside + other.beside,
            BrokenFiles(self.broken.rows + other.broken.rows, self.broken.messages + other.broken.messages),
        )

    def renamed(self, named: Callable[[str], str]) -> LeftOut:
        """A copy with other paths in the messages. `named`: changes a message."""
        return replace(self, broken=replace(self.broken, messages=tuple(map(named, self.broken.messages))))

    def lines(self) -> list[str]:
        """One sentence for each cause."""
        found = []
        if self.suffixes:
            found.append(f"{_files(self.suffixes.total())} of kinds that are not read: {_by_suffix(self.suffixes)}")
        if self.in_subfolders:
            found.append(f"{_images(self.in_subfolders)} in subfolders of classes; dataset.nested: true uses them")
        if self.beside:
            found.append(f"{_images(self.beside)} beside the class folders, so without a class")
        if self.broken.rows:
            found.append(f"{_files(len(self.broken.rows), 'broken ')}: {self.broken}")
        return found

    @property
    def text(self) -> str:
        """All causes as the text of an event."""
        return f"{_files(self.total)} of the data set left out: {'; '.join(self.lines())}"

    def data(self) -> dict[str, Any]:
        """The counts, as the data of an event."""
        return {
            "files": self.total,
            "suffixes": dict(self.suffixes.most_common(_SHOWN_SUFFIXES)),
            "in_subfolders": self.in_subfolders,
            "beside": self.beside,
            "broken": len(self.broken.rows),
        }


def _by_suffix(suffixes: Mapping[str, int]) -> str:
    most = Counter(suffixes).most_common(_SHOWN_SUFFIXES)
    more = len(suffixes) - len(most)
    return ", ".join(f"{count:,} {name or 'without a suffix'}" for name, count in most) + (
        f", and {more} other kinds" if more else ""
    )


def _files(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}{'file' if count == 1 else 'files'}"


def _images(count: int) -> str:
    return f"{count:,} {'image' if count == 1 else 'images'}"
