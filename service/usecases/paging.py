"""Pages of lists: the sort of a list, and cursors that say where the next page begins.

A cursor is opaque text. It holds the sort key of the last row of its page, and it names the list, its sort and its
filters. So a cursor is refused for another list, sort or filter, where it would select a wrong page.

A page is read in the order of an index from the cursor on. Its cost does not grow with the number of pages before it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select
from sqlalchemy.orm import InstrumentedAttribute

from baton.domain.errors import FieldError, SpecError
from service.db.unit_of_work import Unit

_T = TypeVar("_T")
LONGEST = 1000
"""Characters of a cursor."""

NUMBERED = re.compile(r"[1-9][0-9]{0,17}")
"""A cursor of an older release, for lists that are sorted by the number of a row, greatest first."""


class BadParameter(SpecError):
    """A parameter of a list has an invalid value."""

    code = "invalid-request"

    def __init__(self, field: str, message: str) -> None:
        super().__init__([FieldError(field, message)])


@dataclass(frozen=True)
class Sort:
    """The order of a list: a key, and whether the greatest comes first. As text: `name`, or `-name` if descending."""

    key: str
    descending: bool

    @classmethod
    def parse(cls, text: str) -> Sort:
        """Read the text of a sort."""
        return cls(text.removeprefix("-"), text.startswith("-"))

    def __str__(self) -> str:
        return f"-{self.key}" if self.descending else self.key


@dataclass(frozen=True)
class Place:
    """What a cursor belongs to: a list, its sort, and its filters as JSON data."""

    listed: str
    sort: Sort
    filters: Mapping[str, Any] | None = None

    def cursor(self, *key: Any) -> str:
        """The cursor after the row with this sort key. The parts of a key are numbers and text."""
        data = [self.listed, str(self.sort), self._digest, *key]
        return base64.urlsafe_b64encode(json.dumps(data, separators=(",", ":")).encode()).decode().rstrip("=")

    def key(self, cursor: str | None, *kinds: type) -> tuple[Any, ...] | None:
        """The sort key in the cursor; None: there is no cursor. `kinds`: the types of its parts.

        Raises BadParameter.
        """
        if cursor is None:
            return None
        if kinds == (int,) and NUMBERED.fullmatch(cursor) and self.sort.descending:
            return (int(cursor),)
        listed, sort, digest, *key = self._read(cursor)
        if listed != self.listed:
            raise BadParameter("cursor", f"is a cursor of the list {listed!r}; leave it out for the first page")
        if sort != str(self.sort):
            raise BadParameter(
                "cursor", f"is a cursor of the sort {sort!r}, and this page is sorted by {self.sort}: repeat that sort"
            )
        if digest != self._digest:
            raise BadParameter("cursor", "is a cursor of other filters: repeat those of the page that it came with")
        if len(key) != len(kinds) or not all(map(_is_a, key, kinds)):
            raise _not_a_cursor()
        return tuple(key)

    @property
    def _digest(self) -> str:
        filters = {name: value for name, value in (self.filters or {}).items() if value}
        return hashlib.sha256(json.dumps(filters, sort_keys=True, default=str).encode()).hexdigest()[:8]

    @staticmethod
    def _read(cursor: str) -> list[Any]:
        try:
            data = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        except (ValueError, binascii.Error, RecursionError):
            raise _not_a_cursor() from None
        if not isinstance(data, list) or len(data) < 3 or not all(isinstance(one, str) for one in data[:3]):
            raise _not_a_cursor()
        return [*(one[:100] for one in data[:3]), *data[3:]]


def _not_a_cursor() -> BadParameter:
    return BadParameter("cursor", "is not a cursor from a page; leave it out for the first page")


def _is_a(value: Any, kind: type) -> bool:
    if isinstance(value, str):
        return kind is str and "\x00" not in value and _encodes(value)
    if isinstance(value, bool) or not isinstance(value, kind):
        return False
    return not isinstance(value, int) or abs(value) < 2**63


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Rows(Generic[_T]):
    """The rows of a page, and the cursor of the next one; None: this is the last page."""

    rows: list[_T]
    next_cursor: str | None


def cut(rows: Sequence[_T], limit: int, cursor: Callable[[_T], str]) -> Rows[_T]:
    """The first `limit` of the rows, of which there is one more if there is another page."""
    page = list(rows[:limit])
    return Rows(page, cursor(page[-1]) if len(rows) > limit else None)


def by_number(
    unit: Unit,
    query: Select[Any],
    number: InstrumentedAttribute[int],
    place: Place,
    cursor: str | None,
    limit: int,
) -> Rows[Any]:
    """A page of rows that are sorted by a unique number.

    `query` selects entities, without an order. Raises BadParameter for a cursor of something else.
    """
    key = place.key(cursor, int)
    if key is not None:
        query = query.where(number < key[0] if place.sort.descending else number > key[0])
    rows = unit.session.scalars(query.order_by(directed(number, place.sort)).limit(limit + 1)).all()
    return cut(rows, limit, lambda row: place.cursor(getattr(row, number.key)))


def directed(column: ColumnElement[Any] | InstrumentedAttribute[Any], sort: Sort) -> ColumnElement[Any]:
    """The column as part of ORDER BY."""
    return column.desc() if sort.descending else column.asc()


def in_memory(
    found: Sequence[_T],
    key: Callable[[_T], tuple[Any, ...]],
    place: Place,
    cursor: str | None,
    limit: int,
    *kinds: type,
) -> Rows[_T]:
    """A page of a list that is small and computed as a whole. `key`: the unique sort key of a row, of JSON values."""
    rows = sorted(found, key=key, reverse=place.sort.descending)
    after = place.key(cursor, *kinds)
    if after is not None:
        rows = [one for one in rows if (key(one) < after if place.sort.descending else key(one) > after)]
    return cut(rows, limit, lambda one: place.cursor(*key(one)))
