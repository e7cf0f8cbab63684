"""Aliases of tables that several threads use."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import inspect
from sqlalchemy.orm import aliased

Entity = TypeVar("Entity")


def shared_alias(entity: type[Entity]) -> type[Entity]:
    """An alias that is made once and used by all threads.

    SQLAlchemy makes the columns of an alias at their first use, without a lock. If two threads use it first at the same
    time, its columns can stay those of the table, and statements with it are wrong until the process ends. So all
    columns are made here.
    """
    alias: type[Entity] = aliased(entity)
    for attribute in inspect(entity).column_attrs:
        _ = getattr(alias, attribute.key).expression
    return alias
