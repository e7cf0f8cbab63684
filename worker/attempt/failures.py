"""Turns an exception of a training process into the message that ends the attempt: reason, text and fault."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from baton.domain.errors import JobFailure, SpecError
from baton.domain.note_limits import fitting_text
from baton.domain.protocol_versions import CANNOT_READ
from baton.domain.reasons import Reason
from baton.domain.text import safe, words_of
from baton.domain.wire import Finish, Outcome
from baton.storage.errors import StoreError, StoreUnavailable
from worker.api_client.client import GrantUnreadable
from worker.checkpointing.checkpoint_files import CorruptCheckpoint, NewerCheckpoint
from worker.failure_texts import LESS_MEMORY

NO_DESCRIPTION = "the training failed, and its exception cannot be described"
TRACEBACK_LINES = 30
MAX_FAULT = 300
log = logging.getLogger(__name__)


class ProgramFailure(JobFailure):
    """A program of a user failed. `fault`: what failed where; None if it is not known."""

    def __init__(self, reason: str, message: str, fault: str | None) -> None:
        super().__init__(reason, message)
        self.fault = fault


def failed(fence: int, error: BaseException, at_step: int | None) -> Finish:
    """The message that ends a failed attempt. `at_step`: the loop's global step, if it had begun. Never raises.

    A user program may raise anything. The error text may have any length, may not be encodable in UTF-8, or reading it
    may raise. In these cases the message contains less detail.
    """
    for describe in (_reason_and_text, _short_text):
        try:
            reason, message = describe(error)
            return _finish(fence, reason, message, at_step, _fault(error))
        except Exception as trouble:
            log.warning("cannot describe a failure in full: %s", type(trouble).__name__)
    return minimal_failure(fence, at_step)


def minimal_failure(fence: int, at_step: int | None = None) -> Finish:
    """A failure report without any text of the user's program, so that no service refuses it."""
    return _finish(fence, Reason.EXCEPTION, f"{NO_DESCRIPTION}; see the attempt's log", at_step, None)


def _finish(fence: int, reason: Reason, message: str, at_step: int | None, fault: str | None) -> Finish:
    text = fitting_text(message)
    return Finish(fence=fence, outcome=Outcome.FAILED, reason=reason, message=text, at_step=at_step, fault=fault)


def _fault(error: BaseException) -> str | None:
    if isinstance(error, ProgramFailure):
        return error.fault and safe(error.fault)[:MAX_FAULT]
    try:
        return fault_of(error)
    except Exception:
        return None


def fault_of(error: BaseException) -> str:
    """The type of the exception and where it was raised: equal for equal failures in different processes."""
    origin = error.__cause__ if isinstance(error, JobFailure) and error.__cause__ else error
    frames = list(traceback.walk_tb(origin.__traceback__))
    name = f"{type(origin).__module__}.{type(origin).__qualname__}"
    if frames:
        frame, line = frames[-1]
        name += f" in {Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
    return name[:MAX_FAULT]


def _short_text(error: BaseException) -> tuple[Reason, str]:
    """A short description of an exception whose normal description raises."""
    name = words_of(lambda: type(error).__name__)
    return Reason.EXCEPTION, f"{name}: {words_of(lambda: error)}"


def _reason_and_text(error: BaseException) -> tuple[Reason, str]:
    match error:
        # The service accepted the spec and committed the checkpoint, so a newer version wrote them.
        case SpecError() | NewerCheckpoint() | GrantUnreadable():
            return Reason.WORKER_TOO_OLD, f"{CANNOT_READ if isinstance(error, SpecError) else ''}{error}"
        case JobFailure(reason=reason):
            return _known(reason, words_of(lambda: error))
        case CorruptCheckpoint():
            return Reason.RESTORE_FAILED, str(error)
        case StoreError():
            unavailable = isinstance(error, StoreUnavailable)
            return Reason.STORE_UNAVAILABLE if unavailable else Reason.STORE_REFUSED, f"the store: {error}"
        case MemoryError():
            return Reason.OUT_OF_MEMORY, f"the worker's memory is full: {LESS_MEMORY}\n{_last_lines(error)}"
    return Reason.EXCEPTION, _last_lines(error)


def _known(reason: str, message: str) -> tuple[Reason, str]:
    """The reason and the message. An extension may give an unknown reason, which then becomes part of the message."""
    try:
        return Reason(reason), message
    except ValueError:
        return Reason.EXCEPTION, f"{reason}: {message}"


def _last_lines(error: BaseException) -> str:
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(lines[-TRACEBACK_LINES:])
