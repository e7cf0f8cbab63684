"""Base classes of errors with stable codes, shared by service, worker and client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from baton.domain.text import safe


@dataclass(frozen=True)
class FieldError:
    """One error in one field. `field`: a dotted path as in `--set`, e.g. `stages.0.epochs`."""

    field: str
    message: str


class BatonError(Exception):
    """Base of all errors that a user can see. `code` is stable; the message contains the next step."""

    code: ClassVar[str] = "error"


class SpecError(BatonError):
    """A job spec is invalid. `errors`: one `FieldError` for each wrong field."""

    code: ClassVar[str] = "invalid-spec"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in self.errors))


class TransitionError(BatonError):
    """The state table does not allow this event in this state."""

    code: ClassVar[str] = "conflict"


class JobFailure(BatonError):
    """Ends an attempt as failed. The retry policy decides by `reason` whether another attempt can help."""

    code: ClassVar[str] = "job-failure"

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(safe(message))


class LeaseLost(BatonError):
    """This worker does not hold the attempt any more: it must stop training and write nothing."""

    code: ClassVar[str] = "lease-lost"
