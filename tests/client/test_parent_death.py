"""Where the kernel does not end a child with its parent, another process watches the parent."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.waiting import eventually
from tests.support.process_state import gone

pytestmark = pytest.mark.process

WATCHED = (
    "import os, sys; from baton.system.parent_death import run_watched; "
    "sys.exit(run_watched(os.getppid(), [sys.executable, '-c', sys.argv[1]]))"
)
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", *sys.argv[1:]])
time.sleep(600)
"""
SLEEP = "import os, time; open({!r}, 'w').write(str(os.getpid())); time.sleep(600)"


def alive(file: Path) -> bool:
    return file.exists() and file.read_text() != "" and not gone(int(file.read_text()))


def test_it_is_killed_when_the_parent_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, WATCHED, SLEEP.format(str(file))])
    eventually(lambda: alive(file), "the child runs")
    parent.kill()
    parent.wait()
    eventually(lambda: not alive(file), "the child is gone")


def test_sigterm_reaches_it_and_its_status_is_returned(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); {SLEEP.format(str(file))}"
    watcher = subprocess.Popen([sys.executable, "-c", WATCHED, code])
    eventually(lambda: alive(file), "the child runs")
    watcher.send_signal(signal.SIGTERM)
    assert watcher.wait(60) == 7
