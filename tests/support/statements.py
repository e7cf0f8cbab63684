"""Records the SQL statements of the code under test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

BACKGROUND = ("check-", "store", "lease guard", "leadership", "housekeeper")
"""The names of the service's background threads. Their queries do not depend on the test."""


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """Record all statements while the context is open, except those of background threads and the ends of
    transactions.
    """
    found: list[str] = []

    def heard(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        edge = statement.startswith(("BEGIN", "COMMIT", "ROLLBACK"))
        if not edge and not threading.current_thread().name.startswith(BACKGROUND):
            found.append(" ".join(statement.split()))

    event.listen(engine, "before_cursor_execute", heard)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", heard)
