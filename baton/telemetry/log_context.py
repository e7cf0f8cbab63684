"""What a line of the log is about, beside its words: the request, the job, the attempt, the worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

Value = str | int | float | bool
_NOTHING: Mapping[str, Value] = {}
_here: ContextVar[Mapping[str, Value]] = ContextVar("fields", default=_NOTHING)
# Threads begin with an empty context: what all of them are about is said once for the process.
_process: dict[str, Value] = {}


def known() -> dict[str, Value]:
    """All that is known here and now."""
    return {**_process, **_here.get()}


def bind(**fields: Value | None) -> None:
    """From here to the end of this context, a request's task as a rule; None leaves a field as it is."""
    _here.set({**_here.get(), **_given(fields)})


def request_id() -> str | None:
    """The request that is answered here."""
    found = _here.get().get("request_id")
    return None if found is None else str(found)


def for_process(**fields: Value | None) -> None:
    """For all threads of the process, from now on; None takes a field away."""
    for name, value in fields.items():
        if value is None:
            _process.pop(name, None)
        else:
            _process[name] = value


@contextmanager
def within(**fields: Value | None) -> Iterator[None]:
    """Inside the block."""
    token = _here.set({**_here.get(), **_given(fields)})
    try:
        yield
    finally:
        _here.reset(token)


def _given(fields: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in fields.items() if value is not None}
