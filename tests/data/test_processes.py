"""Batches that other processes make: they are the same, and the processes never outlive the program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import baton
from tests.support.data_kinds import PROCESSES, Listed, check, given, listed
from tests.support.service import ROOT

pytestmark = pytest.mark.process

DATA_PROCESS = "multiprocessing.spawn"


def data_processes(parent: int) -> list[psutil.Process]:
    below = psutil.Process(parent).children(recursive=True)
    return [one for one in below if any(DATA_PROCESS in argument for argument in one.cmdline())]


@pytest.mark.parametrize("name", PROCESSES)
def test_a_restart_changes_no_batch(name: str) -> None:
    check(PROCESSES[name])


def test_they_make_the_same_batches_across_epochs_and_end_with_the_data() -> None:
    with listed() as here:
        whole = list(given(here))
    with listed(processes=2) as data:
        assert list(given(data)) == whole
        kept = data_processes(os.getpid())
        assert len(kept) == 2  # the same for all epochs: starting them costs seconds
    psutil.wait_procs(kept, timeout=30)
    assert data_processes(os.getpid()) == []


class Large(Listed):
    def __getitem__(self, index: int) -> Any:
        if index == 3:
            raise OSError("broken file")
        return np.full(2**20, index, np.uint8)


def test_large_batches_stay_when_the_next_come_and_an_error_is_raised_at_its_turn() -> None:
    with baton.data.batches(Large(4), batch_size=1, shuffle=False, processes=1) as data:
        taken: list[Any] = []
        with pytest.raises(OSError, match="broken file"):
            taken.extend(data.epoch(0))
        assert [type(batch) for batch in taken] == [np.ndarray] * 3
        assert [int(batch.sum() // 2**20) for batch in taken] == [0, 1, 2]


def test_a_source_that_cannot_be_sent_is_refused() -> None:
    source = Listed(4)
    source.lock = threading.Lock()  # type: ignore[attr-defined]
    with (
        baton.data.batches(source, batch_size=2, processes=1) as data,
        pytest.raises(baton.ProgramError, match="processes: the source, `transform` or `collate` cannot be sent"),
    ):
        next(data.epoch(0))


def test_without_grain_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(baton.ProgramError, match="pip install grain"):
        next(listed(processes=1).epoch(0))


def program(folder: Path, workers: str, end: str) -> tuple[subprocess.Popen[str], Path]:
    file = folder / f"{workers}-{end}.json"
    command = [sys.executable, "-m", "tests.support.data_program", str(folder / end), str(file), workers, end]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BATON_SAVE_EVERY": "0"}
    started = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    return started, file


def finished(folder: Path, workers: str, end: str) -> tuple[int, str, Any]:
    started, file = program(folder, workers, end)
    # The pipes are closed only when no process has them any more: a process that stayed would make this time out.
    _, errors = started.communicate(timeout=120)
    return started.returncode, errors, json.loads(file.read_text()) if file.exists() else None


@pytest.mark.parametrize(
    ("workers", "ends"), [("none", ["kill"]), ("threads", ["stop"]), ("processes", ["kill", "stop"])]
)
def test_a_killed_and_a_stopped_program_see_the_same_batches(workers: str, ends: list[str], tmp_path: Path) -> None:
    status, errors, whole = finished(tmp_path, workers, "no")
    assert (status, "Traceback" in errors, "leaked" in errors) == (0, False, False)
    for end in ends:
        status, errors, seen = finished(tmp_path, workers, end)
        assert (status, seen) == ({"kill": -signal.SIGKILL, "stop": 75}[end], None)
        assert "Traceback" not in errors
        assert finished(tmp_path, workers, end)[::2] == (0, whole)
