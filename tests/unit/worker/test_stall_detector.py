"""When an attempt counts as stalled: computing the limit, suspended machines, and limits that the process itself
sets.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from baton.domain.spec import LimitsSpec, dump_spec, parse_spec, spec_version
from baton.system.process_tree import ProcessTree, descendants
from tests.support.fast_jobs import fast
from tests.support.gcs import until
from worker.background import in_background
from worker.ipc.progress import MAX_TEXT, Cell, Seen, SharedCell, Waits
from worker.ipc.stacks import innermost, kernel_state
from worker.supervisor.stall_detector import MOST_BETWEEN_LOOKS, StallDetector, effective_limit

SLEEPS = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"]


class Stand:
    """A process whose progress, and whose supervisor's clock, the test sets."""

    def __init__(self, limit: float) -> None:
        self.now, self.advances, self.limit, self.end_by = 1000.0, 0, limit, math.inf
        self.dog = StallDetector(
            lambda: Seen(self.advances, self.limit, self.end_by, False, "at step 7"), lambda: self.now
        )

    def after(self, *pauses: float) -> list[bool]:
        """Whether the process counts as stalled at each check. `pauses`: seconds before each check."""
        found = []
        for pause in pauses:
            self.now += pause
            found.append(self.dog.look() is not None)
        return found


@pytest.mark.parametrize(
    ("stall", "longest", "limit"), [(900, 0, 900), (900, 300, 900), (900, 400, 1200), (1, 0.2, 1), (2, 10, 30)]
)
def test_the_limit_is_the_specs_or_three_times_the_longest_that_went_on(
    stall: float, longest: float, limit: float
) -> None:
    assert effective_limit(stall, longest) == limit


def test_a_process_without_progress_has_stalled() -> None:
    stand = Stand(limit=2.0)
    assert stand.after(0.5, 0.5, 0.5, 0.5, 0.5) == [False] * 4 + [True]
    assert str(stand.dog.look()) == "no progress for 2 s (the limit was 2 s) while at step 7"


def test_what_was_slow_and_went_on_may_be_as_slow_again() -> None:
    stand = Stand(limit=4.0)
    stand.after(3.0)
    stand.advances += 1
    assert stand.after(0.0, 4.0, 4.9) == [False] * 3  # the limit is 3 x 3 s
    assert stand.after(0.2) == [True]


def test_a_suspended_machine_has_not_stalled() -> None:
    stand = Stand(limit=4 * MOST_BETWEEN_LOOKS)
    assert stand.after(3600.0, 0.5, 86_400.0, 0.5) == [False] * 4
    # The suspension does not make the limit longer.
    stand.advances += 1
    assert stand.after(0.5) == [False]
    assert stand.after(*[5.0] * 6) == [False] * 6
    assert stand.after(5.0) == [True]


def test_a_process_that_was_to_have_ended_is_overdue() -> None:
    stand = Stand(limit=900)
    assert not stand.dog.overdue
    stand.end_by = stand.now + 10
    assert not stand.dog.overdue
    stand.now += 10.5
    assert stand.dog.overdue


def test_another_process_sees_what_one_writes() -> None:
    shared, cell = SharedCell(), Cell()
    before = shared.seen()
    assert (before.limit, before.end_by, before.doing) == (900.0, math.inf, "starting")
    cell.attach(os.dup(shared.descriptor))
    cell.allow(2.5)
    cell.advanced("ü" * MAX_TEXT)
    before_order = time.monotonic()
    cell.end_within(5, cancelled=True)
    after_order = time.monotonic()
    cell.end_within(500, cancelled=False)  # the first call counts
    seen = shared.seen()
    assert (seen.advances, seen.limit, seen.cancelled) == (2, 2.5, True)
    assert seen.doing.startswith("üü")
    assert before_order + 5 <= seen.end_by <= after_order + 5
    cell.doing("waiting for a pipe")
    assert shared.seen().advances == 2
    assert shared.seen().doing == "waiting for a pipe"


def test_answers_count_only_while_the_loop_waits_for_them() -> None:
    cell = Cell()
    waits = Waits(cell)
    waits.answered()
    assert cell.seen().advances == 0
    with waits.on("saving the last state"):
        begun = cell.seen().advances
        waits.answered()
        assert cell.seen() == Seen(begun + 1, 900.0, math.inf, False, "saving the last state")
    ended = cell.seen().advances
    waits.answered()
    assert cell.seen().advances == ended


def test_the_limits_of_a_spec_and_who_can_read_them() -> None:
    usual, own = parse_spec(fast()), parse_spec(fast(limits={"stall": "1s", "max_runtime": "12h"}))
    assert usual.limits == LimitsSpec(stall=900.0, max_runtime=None)
    assert "limits" not in dump_spec(usual)
    assert spec_version(usual) < 3 == spec_version(own)
    assert (own.limits.stall, own.limits.max_runtime) == (1.0, 43200.0)
    assert parse_spec(dump_spec(own)) == own
    for wrong in ({"stall": "0.5s"}, {"stall": "never"}, {"max_runtime": 0}, {"stall": None}):
        with pytest.raises(ValidationError):
            LimitsSpec.model_validate(wrong)


def test_work_that_hangs_does_not_hold_up_who_waits_for_it(tmp_path: Path) -> None:
    fifo = tmp_path / "mount"
    os.mkfifo(fifo)
    looked = []

    def look() -> None:
        looked.append(True)
        if len(looked) == 3:
            raise InterruptedError("cancelled")

    with pytest.raises(InterruptedError):
        in_background(lambda _told: fifo.read_bytes(), lambda _text: None, look)


def test_work_aside_tells_and_ends_as_it_would_here() -> None:
    heard: list[str] = []

    def work(told: object) -> int:
        for text in ("one", "two"):
            told(text)  # type: ignore[operator]
        return 7

    def fail(_told: object) -> int:
        raise SystemExit("a program's own")

    assert in_background(work, heard.append, lambda: None) == 7
    assert heard == ["one", "two"]
    with pytest.raises(SystemExit, match="a program's own"):
        in_background(fail, heard.append, lambda: None)


def test_work_that_is_given_up_cleans_up(tmp_path: Path) -> None:
    part, begun = tmp_path / "part", []

    def work(told: object) -> None:
        part.touch()
        try:
            while True:
                told("working")  # type: ignore[operator]
                begun.append(True)
                time.sleep(0.01)
        finally:
            part.unlink()

    def look() -> None:
        if begun:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        in_background(work, lambda _text: None, look)
    until(lambda: not part.exists(), 60, "the part to be removed")


@pytest.mark.process
def test_all_that_a_process_started_is_killed() -> None:
    code = f"import subprocess; p = subprocess.Popen({SLEEPS!r}); print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert child in descendants(os.getpid())
        family = ProcessTree(parent.pid)
        assert family.pids == (child,)
        parent.kill()
        family.kill()
        until(lambda: not Path(f"/proc/{child}").exists() or "Z" in kernel_state(child), 60, "the child to be gone")


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the kernel does not tell")
def test_the_kernels_view_of_a_thread() -> None:
    with subprocess.Popen(SLEEPS, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            until(lambda: "S (sleeping)" in kernel_state(process.pid), 60, "the process to sleep")
            assert kernel_state(process.pid).startswith(f"process {process.pid} thread {process.pid}: ")
        finally:
            process.kill()
    assert kernel_state(process.pid) == ""


def test_the_innermost_frame_is_that_of_the_main_thread() -> None:
    text = (
        'Thread 0x01 (most recent call first):\n  File "/a/beat.py", line 3 in run\n\n'
        'Current thread 0x02 (most recent call first):\n  File "/a/b/steps.py", line 7 in step\n'
        '  File "/a/main.py", line 1 in <module>\n'
    )
    assert innermost(text) == "step (steps.py:7)"
    assert innermost("") == ""
