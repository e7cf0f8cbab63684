"""How a program ended becomes a reason, a message and a fault."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from worker.attempt.failures import failed
from worker.programs.child import Ended
from worker.programs.exits import MAX_LINES, OutputTail, failure_of, last_lines

TRACEBACK = """step 1
2026-11-30 10:16:10,398 INFO worker.supervisor.process: a line of the worker
Traceback (most recent call last):
  File "/code/train.py", line 7, in <module>
    main()
  File "/code/model.py", line 33, in step
    raise ValueError("no such layer")
ValueError: no such layer
"""


def test_the_message_has_the_traceback_and_the_fault_its_place() -> None:
    failure = failure_of(Ended(1), TRACEBACK, memory_ran_out=False)
    assert failure.reason == "exception"
    assert str(failure).startswith("the program ended with exit status 1\nTraceback (most recent call last):")
    assert str(failure).endswith("ValueError: no such layer")
    finish = failed(3, failure, at_step=8)
    assert (finish.reason, finish.fault, finish.at_step) == ("exception", "ValueError in model.py:33 step", 8)


def test_without_a_traceback_the_last_lines_are_the_message() -> None:
    output = "\n".join(f"line {n}" for n in range(100))
    assert last_lines(output) == [f"line {n}" for n in range(100 - MAX_LINES, 100)]
    assert failure_of(Ended(3), output, memory_ran_out=False).fault == "exit status 3"


@pytest.mark.parametrize(
    ("status", "output", "memory_ran_out", "reason"),
    [
        (1, "MemoryError", False, "out_of_memory"),
        (1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", False, "out_of_memory"),
        (1, "OSError: [Errno 28] No space left on device: 'x'", False, "disk_full"),
        (-signal.SIGKILL, "", True, "out_of_memory"),
        (128 + signal.SIGKILL, "Killed", True, "out_of_memory"),
        (1, "ValueError: no", True, "exception"),  # another process was killed
        (-signal.SIGKILL, "", False, "process_died"),
        (-signal.SIGSEGV, "", False, "process_died"),
        (-40, "", False, "process_died"),  # a real-time signal without a name
        (None, "", False, "process_died"),
        (2, "usage: train.py", False, "exception"),
    ],
)
def test_the_reason(status: int | None, output: str, memory_ran_out: bool, reason: str) -> None:
    assert failure_of(Ended(status), output, memory_ran_out=memory_ran_out).reason == reason


def test_a_command_that_is_not_there() -> None:
    failure = failure_of(Ended(error="trainer: No such file or directory"), "", memory_ran_out=False)
    assert (failure.reason, str(failure)) == (
        "unsupported",
        "the program cannot be started: trainer: No such file or directory",
    )


def test_the_tail_begins_with_the_program_also_after_the_log_was_truncated(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+b", buffering=0) as file:
        file.write(b"earlier\n")
        tail = OutputTail(file.fileno())
        file.write(b"of the program\n")
        assert tail.text() == "of the program\n"
        file.truncate(0)
        file.seek(0)
        file.write(b"late\n")
        assert tail.text() == "late\n"
