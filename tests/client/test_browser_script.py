"""The browser that the tests of the dashboard use, and the message if there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.check_locks import ROOT

pytestmark = pytest.mark.process

CHROME_IS_HERE = pytest.mark.skipif(Path("/Applications/Google Chrome.app").exists(), reason="macOS has its one place")
NEEDED = ("grep", "sh", "touch", "chmod")
APT = """#!/bin/sh
if [ "$1" = install ]; then printf '#!/bin/sh\\n' > "$(dirname "$0")/chromium"; chmod +x "$(dirname "$0")/chromium"; fi
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH without a browser, for a user who is not root."""
    for name in (*NEEDED, "dirname"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    put(tmp_path, "id", "echo 1000")
    return tmp_path


def put(path: Path, name: str, body: str) -> None:
    (path / name).write_text(body if body.startswith("#!") else f"#!/bin/sh\n{body}\n")
    (path / name).chmod(0o755)


def look(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(ROOT / "scripts/browser.sh")]
    return subprocess.run(command, env={"PATH": str(path), **environment}, capture_output=True, text=True, check=False)


def test_the_first_that_answers_is_taken(path: Path) -> None:
    put(path, "chromium", "exit 1")
    put(path, "google-chrome", "echo 150")
    done = look(path)
    assert (done.returncode, done.stdout) == (0, f"{path}/google-chrome\n")


def test_a_named_one_goes_first_and_must_be_there(path: Path) -> None:
    put(path, "chromium", "echo 150")
    put(path, "mine", "echo 1")
    assert look(path, BATON_BROWSER="mine").stdout == f"{path}/mine\n"
    done = look(path, BATON_BROWSER="nonesuch")
    assert (done.returncode, "BATON_BROWSER names nonesuch" in done.stderr) == (2, True)


@CHROME_IS_HERE
def test_without_one_it_says_what_to_do(path: Path) -> None:
    done = look(path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "apt install chromium" in done.stderr
    assert "BATON_BROWSER=" in done.stderr


@CHROME_IS_HERE
def test_as_root_debians_is_installed(path: Path) -> None:
    put(path, "id", "echo 0")
    put(path, "apt-get", APT)
    put(path, "apt-cache", "exit 0")
    done = look(path)
    assert (done.returncode, done.stdout) == (0, f"{path}/chromium\n")
