"""What an exception in a training process means to the service: a reason, words, and what it was to the line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.domain.errors import JobFailure, SpecError
from core.domain.notes import fitting_text
from core.domain.policies import Reason
from core.domain.protocol import CANNOT_READ
from core.domain.store_identity import NOT_IN_STORE, WRONG_STORE, shown_url
from core.domain.wire import Finish, Outcome
from core.storage import BlobStore
from core.storage.errors import StoreError, StoreUnavailable
from worker.checkpointing.files import CorruptCheckpoint, NewerCheckpoint
from worker.oom import LESS_MEMORY
from worker.protocol import GrantUnreadable, Refused

TRACEBACK_LINES = 30
MAX_FAULT = 300


def failed(fence: int, error: Exception, at_step: int | None) -> Finish:
    """The words with which an attempt ends. `at_step`: where the loop stood, if it had begun."""
    reason, message = _why(error)
    fault = fault_of(error)
    return Finish(
        fence=fence, outcome=Outcome.FAILED, reason=reason, message=fitting_text(message), at_step=at_step, fault=fault
    )


@contextmanager
def wrong_store_told(store: BlobStore) -> Iterator[None]:
    """Turns a refusal that says that service and worker see different stores into the failure of the attempt."""
    try:
        yield
    except Refused as error:
        if error.problem not in (WRONG_STORE, NOT_IN_STORE):
            raise
        text = f"service and worker do not see the same store; this worker's is {shown_url(store.url)}: {error}"
        raise JobFailure(Reason.WRONG_STORE, text) from error


def fault_of(error: BaseException) -> str:
    """The exception's type and where it was raised: alike in each process that fails in the same way."""
    origin = error.__cause__ if isinstance(error, JobFailure) and error.__cause__ else error
    frames = list(traceback.walk_tb(origin.__traceback__))
    name = f"{type(origin).__module__}.{type(origin).__qualname__}"
    if frames:
        frame, line = frames[-1]
        name += f" in {Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
    return name[:MAX_FAULT]


def _why(error: Exception) -> tuple[Reason, str]:
    match error:
        # The service accepted the spec and committed the checkpoint, so a newer version wrote them.
        case SpecError() | NewerCheckpoint() | GrantUnreadable():
            return Reason.WORKER_TOO_OLD, f"{CANNOT_READ if isinstance(error, SpecError) else ''}{error}"
        case JobFailure(reason=reason):
            return Reason(reason), str(error)
        case CorruptCheckpoint():
            return Reason.RESTORE_FAILED, str(error)
        case StoreError():
            away = isinstance(error, StoreUnavailable)
            return Reason.STORE_UNAVAILABLE if away else Reason.STORE_REFUSED, f"the store: {error}"
        case MemoryError():
            return Reason.OUT_OF_MEMORY, f"the worker's memory is full: {LESS_MEMORY}\n{_last_lines(error)}"
    return Reason.EXCEPTION, _last_lines(error)


def _last_lines(error: Exception) -> str:
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(lines[-TRACEBACK_LINES:])
