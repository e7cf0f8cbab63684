"""Out-of-memory kills that the kernel counts, in both versions of control groups. The tests make the files."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from baton.domain.reasons import Reason
from baton.system import oom
from baton.system.oom import OomKills, counters
from worker.supervisor.process import TrainingProcess


def test_a_counter_that_rises_is_a_kill(tmp_path: Path) -> None:
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    kills = OomKills(iter([tmp_path / "absent", events]))
    assert not kills.any()
    events.write_text("low 0\noom 4\noom_kill 3\noom_group_kill 0\n")
    assert kills.any()
    assert not OomKills(iter([events])).any()  # a kill before the start of the count does not count
    events.unlink()
    assert not kills.any()


def test_the_narrowest_group_is_asked_first(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("5:pids:/a\n4:memory:/a/b\n0::/c/d\n")
    found = list(counters(own, tmp_path, tmp_path / "vmstat"))
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "memory/a/b/memory.oom_control",
        "memory/a/memory.oom_control",
        "memory/memory.oom_control",
        "c/d/memory.events",
        "c/memory.events",
        "memory.events",
        "vmstat",
    ]


def test_this_machine_tells() -> None:
    assert any(oom._count(path) is not None for path in counters())


def test_a_machine_that_does_not_tell(tmp_path: Path) -> None:
    assert not OomKills(counters(tmp_path / "none", tmp_path, tmp_path / "none")).any()


@pytest.mark.process
@pytest.mark.parametrize("kills", [0, 1])
def test_a_training_process_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int) -> None:
    counter = tmp_path / "memory.events"
    counter.write_text("oom_kill 7\n")
    monkeypatch.setattr(oom, "counters", lambda: iter([counter]))
    process = TrainingProcess("tests.support.idle")
    try:
        counter.write_text(f"oom_kill {7 + kills}\n")
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(60)
        death = process.death()
    finally:
        process.close()
    assert death is not None
    assert death.reason is (Reason.OUT_OF_MEMORY if kills else Reason.PROCESS_DIED)
    assert ("smaller batch_size" in death.message) is bool(kills)
