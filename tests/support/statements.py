"""What the code under test asks of a database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

BACKGROUND = ("check-", "store", "lease guard", "leadership", "housekeeper")
"""Names of the service's threads that ask at times of their own, whatever a test does."""


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """All that is put to the database meanwhile, but for background threads and the edges of transactions."""
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
