"""How exceptions of a training process are reported to the service."""

from __future__ import annotations

import subprocess
import sys

import pytest

from baton.domain.errors import FieldError, JobFailure, SpecError
from baton.domain.reasons import Reason
from baton.domain.wire import Finish, GrantHead, Outcome
from baton.storage.errors import StoreConfigError, StoreFull, StoreUnavailable
from tests.unit.worker.raising import raised
from worker.api_client.client import GrantUnreadable
from worker.attempt.failures import NO_DESCRIPTION, TRACEBACK_LINES, failed, fault_of
from worker.checkpointing.checkpoint_files import NewerCheckpoint

IN_ANOTHER_PROCESS = """
from tests.unit.worker.raising import raised
from worker.attempt.failures import fault_of
print(fault_of(raised(ValueError(1))))
"""


def other(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("x"), Reason.EXCEPTION),
        (MemoryError(), Reason.OUT_OF_MEMORY),
        (StoreUnavailable("away"), Reason.STORE_UNAVAILABLE),
        (StoreFull("full"), Reason.STORE_UNAVAILABLE),
        (StoreConfigError("no such bucket"), Reason.STORE_REFUSED),
        (JobFailure(Reason.BAD_DATA, "no images"), Reason.BAD_DATA),
        (JobFailure(Reason.UNSUPPORTED, "no bfloat16 here"), Reason.UNSUPPORTED),
        (SpecError([FieldError("limits", "is not a known field")]), Reason.WORKER_TOO_OLD),
        (NewerCheckpoint("format 2"), Reason.WORKER_TOO_OLD),
        (GrantUnreadable(GrantHead(attempt_id="a", fence=1), "x"), Reason.WORKER_TOO_OLD),
    ],
)
def test_reasons(error: Exception, reason: Reason) -> None:
    finish = failed(3, raised(error), at_step=17)
    assert (finish.reason, finish.fence, finish.at_step) == (reason, 3, 17)


def test_memory_comes_with_advice() -> None:
    assert "smaller batch_size" in failed(1, raised(MemoryError()), None).message


def test_the_message_ends_with_the_last_lines_of_the_traceback() -> None:
    assert failed(1, raised(ValueError("x")), None).message.splitlines()[-1] == "ValueError: x"
    words = "\n".join(f"line {n}" for n in range(100))
    lines = failed(1, raised(ValueError(words)), None).message.splitlines()
    assert (len(lines), lines[-1]) == (TRACEBACK_LINES, "line 99")


def test_a_fault_is_told_by_type_and_place() -> None:
    one = fault_of(raised(ValueError("image 7 at 0x7f01")))
    assert one == fault_of(raised(ValueError("image 7 at 0x7f99")))
    assert one != fault_of(other(ValueError("image 7 at 0x7f01")))
    assert one != fault_of(raised(TypeError("image 7 at 0x7f01")))
    assert one.startswith("builtins.ValueError in raising.py:")


def test_a_fault_that_was_given_a_reason_is_told_by_its_cause() -> None:
    cause = raised(ValueError("x"))
    named = JobFailure(Reason.OUT_OF_MEMORY, "no memory")
    named.__cause__ = cause
    assert fault_of(raised(named)) == fault_of(cause)


@pytest.mark.process
def test_a_fault_is_the_same_in_another_process() -> None:
    done = subprocess.run([sys.executable, "-c", IN_ANOTHER_PROCESS], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == fault_of(raised(ValueError(2)))


def test_no_fault_is_too_long_for_the_wire() -> None:
    odd = type("X" * 1000, (Exception,), {})
    assert Finish.model_validate_json(failed(1, raised(odd()), 1).model_dump_json()).fault


class Odd(Exception):
    """An exception whose text cannot be computed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class OddName(type):
    """The metaclass of a class whose name cannot be read."""

    def __getattribute__(cls, name: str) -> object:
        if name in ("__qualname__", "__name__", "__module__"):
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=OddName):
    """An exception whose class has no readable name."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Odd(), "Odd: <exception str() failed>"),
        (type("Odder", (Exception,), {"__str__": lambda _: 7})(), "Odder: <exception str() failed>"),
        (ValueError("caf\udce9.png"), r"caf\xe9.png"),
        (ValueError("half a pair \ud83d"), r"half a pair \ud83d"),
        (ValueError("a\0b"), "a\ufffdb"),
        (ValueError("x" * 10_000_000), "(cut: "),
        (JobFailure(Reason.BAD_DATA, "caf\udce9.png: broken"), r"caf\xe9.png: broken"),
        (JobFailure("of_an_extension", "told"), "of_an_extension: told"),
        (SystemExit(3), "SystemExit: 3"),
        (Nameless("words"), "words"),
        (ExceptionGroup("many", [ValueError("\udcff"), Odd()]), "many"),
    ],
)
def test_whatever_a_program_raises_is_told(error: BaseException, told: str) -> None:
    finish = failed(1, raised(error), 5)
    assert told in finish.message
    assert len(finish.message) <= 20_000
    assert Finish.model_validate_json(finish.model_dump_json().encode()) == finish
    assert (finish.outcome, finish.at_step) == (Outcome.FAILED, 5)
    assert finish.reason == (Reason.BAD_DATA if "broken" in told else Reason.EXCEPTION)


def test_an_exception_that_cannot_be_formatted_still_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise RecursionError

    monkeypatch.setattr("worker.attempt.failures.traceback.format_exception", broken)
    monkeypatch.setattr("worker.attempt.failures.traceback.walk_tb", broken)
    finish = failed(1, raised(ValueError("words")), 5)
    assert (finish.reason, finish.message, finish.fault) == (Reason.EXCEPTION, "ValueError: words", None)
    monkeypatch.setattr("worker.attempt.failures.words_of", broken)
    assert failed(1, raised(ValueError("words")), 5).message.startswith(NO_DESCRIPTION)
