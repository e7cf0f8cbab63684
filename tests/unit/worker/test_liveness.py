"""The liveness file of a worker, and the probe that reads it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.service import ROOT
from worker import health
from worker.health import STALE_SECONDS
from worker.supervisor import liveness
from worker.supervisor.liveness import LivenessFile


def check(file: Path) -> int:
    return health.main({"BATON_HEALTH_FILE": str(file)})


def made_old(file: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(file, (then, then))


def test_a_beat_is_a_sign_of_life(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "health"
    assert check(file) == 1
    assert "no liveness file" in capsys.readouterr().err
    LivenessFile(file).beat()
    assert check(file) == 0
    made_old(file, STALE_SECONDS + 5)
    assert check(file) == 1
    assert "is stuck" in capsys.readouterr().err


def test_beats_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, heart = tmp_path / "health", LivenessFile(tmp_path / "health")
    heart.beat()
    file.unlink()
    heart.beat()
    assert not file.exists()
    monkeypatch.setattr(liveness, "BEAT_SECONDS", 0.0)
    heart.beat()
    assert file.exists()


def test_a_file_that_cannot_be_written_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    heart = LivenessFile(tmp_path / "nowhere" / "health")
    heart.beat()
    assert "BATON_HEALTH_FILE" in caplog.text


@pytest.mark.process
def test_the_check_is_cheap_and_says_what_to_set() -> None:
    code = "import sys, worker.health as h; s = h.main({}); print(sorted(sys.modules)); sys.exit(s)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "set BATON_HEALTH_FILE" in done.stderr
    assert not {"pydantic", "httpx", "rq", "numpy", "tensorflow"} & set(eval(done.stdout))
