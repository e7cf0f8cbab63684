"""Classifies database errors: unavailable database, refused statement, or conflict with another transaction."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

INVALID_TRANSACTION = "25"


def away(error: Exception) -> bool:
    """Whether the database is unavailable (True) or the statement is wrong (False). If True, a retry may succeed."""
    if isinstance(error, (OperationalError, InterfaceError, PoolTimeout)):
        return True
    # The driver reports internal errors if the connection was closed within a transaction or a standby refuses writes.
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return isinstance(error, DBAPIError) and (error.connection_invalidated or state.startswith(INVALID_TRANSACTION))


def refused(error: Exception) -> bool:
    """Whether a working database refused only this statement, although the driver reports an operational error.

    The statement exceeded a limit of time, memory or size. The next statement, with another item, may succeed.
    """
    cause = getattr(error, "orig", None)
    state = getattr(cause, "sqlstate", None) or ""
    # SQLITE_ERROR: the statement or its data is wrong, not the file.
    return (
        state == "57014" or state.startswith("54") or getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    )


BUSY = frozenset({"55P03", "40P01", "40001"})
"""The SQLSTATE codes of: lock not available, deadlock detected, serialization failure."""


def busy(error: Exception) -> bool:
    """Whether another transaction blocked this one. A retry succeeds after that transaction has ended."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) in BUSY
