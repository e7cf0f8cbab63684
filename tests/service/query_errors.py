"""Queries that fail with a chosen SQLSTATE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import text


def raising(state: str) -> Callable[..., Any]:
    """A query that fails on the server with this SQLSTATE."""

    def query(unit: Any, *_: object, **__: object) -> None:
        unit.session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'told' USING ERRCODE = '{state}'; END $$"))

    return query
