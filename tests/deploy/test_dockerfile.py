"""The Dockerfile: hadolint's rules, and what every image promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy import dockerfile
from tests.deploy.dockerfile import FILE, instructions, last
from tests.support.service import ROOT

TARGETS = ("service", "worker-cpu", "worker-gpu")
HADOLINT = Path(sys.executable).parent / "hadolint"


def hadolint(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HADOLINT, "--no-color", file], capture_output=True, text=True, check=False)


def test_hadolint_has_nothing_to_say(tmp_path: Path) -> None:
    done = hadolint(FILE)
    assert (done.returncode, done.stdout) == (0, "")
    spoiled = tmp_path / "Dockerfile"
    spoiled.write_text(FILE.read_text() + "\nUSER root\nCMD python -m worker\n")
    assert {"DL3002", "DL3025"} <= {word for word in hadolint(spoiled).stdout.split() if word.startswith("DL")}


@pytest.mark.parametrize("target", TARGETS)
def test_nobody_is_root_and_signals_reach_the_process(target: str) -> None:
    user, group = last(target, "USER").split(":")
    assert (int(user), int(group)) == (10001, 10001)
    command = dockerfile.command(target)
    assert command[:2] == ["tini", "--"]
    assert command[2:] == ["python", "-m", "service" if target == "service" else "worker"]


@pytest.mark.parametrize("target", TARGETS)
def test_the_lock_and_the_code_of_its_part_are_in_it_and_nothing_else(target: str) -> None:
    copied = [rest.split() for word, rest in instructions(target) if word == "COPY"]
    assert [f"--from=build-{target}", "/venv", "/venv"] in copied
    code = {words[0].split("/")[0] for words in copied if not words[0].startswith("--")}
    assert code == (
        {"core", "service", "client", "migrations", "models"} if target == "service" else {"core", "worker", "models"}
    )
    build = [rest for word, rest in instructions(f"build-{target}") if word in ("COPY", "RUN")]
    assert f"requirements/{target}.txt /tmp/lock.txt" in build
    assert any("--require-hashes --no-deps -r /tmp/lock.txt" in rest for rest in build)


def test_where_packages_come_from_is_nobodys_business_but_the_builders() -> None:
    text = FILE.read_text()
    assert "--secret" in text
    assert not any(word in text for word in ("index-url", "INDEX_URL", "proxy=", "PROXY=", "trusted-host"))
    assert all(
        "type=secret,id=pip," in rest for name, rest in instructions("build-worker-gpu") if "pip install" in rest
    )


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_health_check_runs_is_in_the_image(target: str, tmp_path: Path) -> None:
    """That it passes beside a live process is shown by test_compose_runs; here it has nobody to find."""
    command = dockerfile.health_command(target)
    assert command[0] == "python"
    environment = {**os.environ, **dockerfile.environment(target), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    environment |= {"BATON_PORT": "1", "BATON_HEALTH_FILE": str(tmp_path / "none")}
    done = subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ModuleNotFoundError" not in done.stderr
    assert "refused" in done.stderr or "no sign of life" in done.stderr
