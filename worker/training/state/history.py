"""The rows of the finished epochs. Each row is serialised once, so a long history does not slow down training."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from baton.domain.history_table import COLUMNS
from baton.domain.wire import ClassifierRow

CSV_FILE = "text/csv; charset=utf-8"


class History:
    """Rows in the order of their epochs. Rows are only appended; other threads may read what `taken` returned."""

    def __init__(self, rows: Iterable[ClassifierRow] = ()) -> None:
        self._rows: list[ClassifierRow] = []
        self._json: list[bytes] = []
        self._csv: list[bytes] = []
        for row in rows:
            self.append(row)

    def append(self, row: ClassifierRow) -> None:
        """Adds the row of the next epoch."""
        data = row.model_dump(mode="json")
        self._json.append(json.dumps(data).encode())
        self._csv.append(_line(data[name] for name in COLUMNS))
        self._rows.append(row)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[ClassifierRow]:
        return iter(self._rows)

    @property
    def last(self) -> ClassifierRow:
        """The newest row. Raises IndexError if there is none."""
        return self._rows[-1]

    def taken(self) -> Taken:
        """The current rows. Takes the same short time for any number of rows."""
        return Taken(len(self._rows), self._json, self._csv)


@dataclass(frozen=True)
class Taken:
    """The first `count` rows of a history. Safe in any thread, because rows are only appended."""

    count: int
    rows_json: list[bytes]
    rows_csv: list[bytes]

    def json(self) -> bytes:
        """A JSON array with an object for each row."""
        return b"[" + b", ".join(islice(self.rows_json, self.count)) + b"]"

    def csv(self) -> bytes:
        """A table with a line for each row."""
        return b"".join((_line(COLUMNS), *islice(self.rows_csv, self.count)))


def _line(values: Iterable[object]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(values)
    return text.getvalue().encode()


def history_writer(rows: Taken) -> Callable[[Path], None]:
    """A function that writes the history to a path as CSV, one row per epoch."""

    def write(path: Path) -> None:
        path.write_bytes(rows.csv())

    return write
