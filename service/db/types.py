"""Column types and the database's clock, with equal behaviour on SQLite and PostgreSQL."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Boolean, ColumnElement, DateTime, Dialect, Float, String, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator


class UTCDateTime(TypeDecorator[datetime]):
    """A time with a time zone. SQLite stores it as text in UTC, which sorts in the order of time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC. Raises ValueError for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """With the zone UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Real(TypeDecorator[float]):
    """A double that may be NaN, such as a diverged loss. It is stored as NULL and read as NaN."""

    impl = Float(53)
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        """NaN as NULL on every database: SQLite stores NaN as NULL anyway."""
        del dialect
        return None if value is None or math.isnan(value) else value

    def process_result_value(self, value: float | None, dialect: Dialect) -> float:
        """NULL as NaN."""
        del dialect
        return math.nan if value is None else value


class db_now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function that it is
    """The database's clock. Leases use no other clock, because the clocks of hosts differ."""

    type = UTCDateTime()
    inherit_cache = True


@compiles(db_now, "sqlite")
def _sqlite_now(_element: db_now, _compiler: Any, **_kwargs: Any) -> str:
    # Six decimal places, like times that SQLAlchemy writes: text of other length would not sort in the order of time.
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


@compiles(db_now, "postgresql")
def _postgresql_now(_element: db_now, _compiler: Any, **_kwargs: Any) -> str:
    # A subquery is evaluated once per statement. A bare volatile function would prevent the use of indexes.
    return "(SELECT clock_timestamp())"


class in_bytes(FunctionElement[str]):  # noqa: N801 - reads as SQL
    """A text that is compared and sorted by its bytes, whatever the collation of the database is.

    SQLite does so by default. An index on this expression serves equality, prefixes and ORDER BY.

    >>> from sqlalchemy import column
    >>> condition = in_bytes(column("name")) >= "net-"
    """

    type = String()
    inherit_cache = True


@compiles(in_bytes, "sqlite")
def _sqlite_bytes(element: in_bytes, compiler: Any, **kwargs: Any) -> str:
    return str(compiler.process(element.clauses, **kwargs))


@compiles(in_bytes, "postgresql")
def _postgresql_bytes(element: in_bytes, compiler: Any, **kwargs: Any) -> str:
    return f'{compiler.process(element.clauses, **kwargs)} COLLATE "C"'


class glob_matches(FunctionElement[bool]):  # noqa: N801 - reads as the SQL function that it is
    """Whether a text matches a pattern, in which `*` stands for any characters. Upper and lower case differ.

    The pattern may have letters, digits, and `.`, `_`, `-`, `*`. No regular expression: SQLite would run it in Python,
    which tries exponentially many ways to match a pattern with many `*`, while all other threads wait.

    >>> from sqlalchemy import column
    >>> condition = glob_matches.of(column("name"), "net_*")
    """

    type = Boolean()
    inherit_cache = True

    @classmethod
    def of(cls, column: ColumnElement[str] | InstrumentedAttribute[str], pattern: str) -> glob_matches:
        """The condition on a column."""
        return cls(column, literal(pattern), literal(pattern.replace("_", "\\_").replace("*", "%")))


@compiles(glob_matches, "sqlite")
def _sqlite_glob(element: glob_matches, compiler: Any, **kwargs: Any) -> str:
    # LIKE would not distinguish upper and lower case.
    column, pattern, _like = element.clauses
    return f"({compiler.process(column, **kwargs)} GLOB {compiler.process(pattern, **kwargs)})"


@compiles(glob_matches, "postgresql")
def _postgresql_glob(element: glob_matches, compiler: Any, **kwargs: Any) -> str:
    column, _pattern, like = element.clauses
    return f"({compiler.process(column, **kwargs)} LIKE {compiler.process(like, **kwargs)} ESCAPE '\\')"
