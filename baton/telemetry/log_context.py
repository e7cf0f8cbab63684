"""Context fields of log lines: the request, the job, the attempt, the worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

Value = str | int | float | bool
_NOTHING: Mapping[str, Value] = {}
_here: ContextVar[Mapping[str, Value]] = ContextVar("fields", default=_NOTHING)
# Threads start with an empty context. So fields for all threads are stored in the process, not in a context.
_process: dict[str, Value] = {}


def known() -> dict[str, Value]:
    """All fields of the process and of the current context."""
    return {**_process, **_here.get()}


def bind(**fields: Value | None) -> None:
    """Sets fields until the end of the current context, usually the task of a request. None changes nothing."""
    _here.set({**_here.get(), **_given(fields)})


def request_id() -> str | None:
    """The id of the current request."""
    found = _here.get().get("request_id")
    return None if found is None else str(found)


def for_process(**fields: Value | None) -> None:
    """Sets fields for all threads of the process. None removes a field."""
    for name, value in fields.items():
        if value is None:
            _process.pop(name, None)
        else:
            _process[name] = value


@contextmanager
def within(**fields: Value | None) -> Iterator[None]:
    """Sets fields within the block. None changes nothing."""
    token = _here.set({**_here.get(), **_given(fields)})
    try:
        yield
    finally:
        _here.reset(token)


def _given(fields: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in fields.items() if value is not None}
