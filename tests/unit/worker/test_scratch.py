"""The folder of one attempt of a program on the worker's disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from baton.system import file_locks
from worker.programs import scratch
from worker.programs.scratch import LOCK, Scratch


def test_the_next_attempt_deletes_only_folders_of_dead_processes(tmp_path: Path) -> None:
    living = Scratch(tmp_path)
    attempts = living.folder.parent
    for name in ("killed", "killed-before-its-lock"):
        (attempts / name / "saves").mkdir(parents=True)
    (attempts / "killed" / LOCK).touch()
    second = Scratch(tmp_path)
    assert {one.name for one in attempts.iterdir()} == {LOCK, living.folder.name, second.folder.name}
    living.close()
    second.close()
    assert [one.name for one in attempts.iterdir()] == [LOCK]


def test_no_process_looks_for_dead_folders_while_another_makes_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    locked = scratch._locked

    def taken(folder: Path) -> int:
        with file_locks.free(folder.parent / LOCK) as free:
            steps.append(free)
        return locked(folder)

    monkeypatch.setattr(scratch, "_locked", taken)
    Scratch(tmp_path).close()
    assert steps
    assert not any(steps)
