"""Engines of all tests share their compiled statements.

Each test opens engines of its own. SQLAlchemy compiles each statement once for each dialect object, which costs more
than most tests do. Engines of one kind of database therefore get the dialect and the cache of the first one.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

_FIRST: dict[str, Engine] = {}


def _create(*arguments: Any, **options: Any) -> Engine:
    engine = create_engine(*arguments, **options)
    first = _FIRST.get(engine.dialect.name)
    if first is None or first.dialect.server_version_info is None:
        # The first engine may never have connected, as in the test of the OpenAPI document. Then its dialect does not
        # have the server's version, and connections of other engines would not set it.
        first = _FIRST[engine.dialect.name] = engine
    engine.dialect = engine.pool._dialect = first.dialect
    engine._compiled_cache = first._compiled_cache
    return engine


def share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Applies to engines that `service.db.engine.open_engine` opens until the end of the patch."""
    monkeypatch.setattr("service.db.engine.create_engine", _create)
