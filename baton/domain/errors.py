"""Errors with stable codes, shared by service, worker and client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from baton.domain.text import safe


@dataclass(frozen=True)
class FieldError:
    """One thing wrong with one field; `field` is a dotted path as `--set` takes it, e.g. `stages.0.epochs`."""

    field: str
    message: str


class BatonError(Exception):
    """Base of all errors that a user can meet. `code` never changes, the message says what to do next."""

    code: ClassVar[str] = "error"


class SpecError(BatonError):
    """A job spec that cannot be accepted."""

    code: ClassVar[str] = "invalid-spec"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in self.errors))


class TransitionError(BatonError):
    """An event that the state table does not know in this state."""

    code: ClassVar[str] = "conflict"


class JobFailure(BatonError):
    """Ends an attempt as failed. `reason` decides in the retry policy whether trying again can help."""

    code: ClassVar[str] = "job-failure"

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(safe(message))


class LeaseLost(BatonError):
    """The attempt is no longer ours: stop training and write nothing more."""

    code: ClassVar[str] = "lease-lost"
