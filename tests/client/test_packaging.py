"""Lock files, the Makefile and the scripts that it runs."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from scripts.check_locks import LOCKS, ROOT, problems, read_lock
from worker.settings import VERSION

pytestmark = pytest.mark.process

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXTS = {name: (ROOT / f"requirements/{name}.txt").read_text() for name in LOCKS}


def test_the_locks_match_pyproject() -> None:
    assert list(problems(PROJECT, TEXTS)) == []


def test_the_service_needs_no_tensorflow() -> None:
    names = {package.name for package in read_lock(TEXTS["service"])}
    assert names.isdisjoint({"tensorflow", "tensorflow-cpu", "keras", "numpy"})


@pytest.mark.parametrize(
    ("lock", "old", "new", "complaint"),
    [
        ("service", "httpx==", "not-httpx==", "service.txt: httpx is missing"),
        ("local", "httpx==0.28", "httpx==0.27", "local.txt: httpx is 0.27"),
        ("dev", "opencv-python-headless==4", "opencv-python==4", "dev.txt: OpenCV must be"),
        ("worker-cpu", "httpx==0.28.1", "httpx==0.28.9", "worker-cpu.txt: it has packages or versions"),
    ],
)
def test_a_lock_that_does_not_match_is_named(lock: str, old: str, new: str, complaint: str) -> None:
    changed = {**TEXTS, lock: TEXTS[lock].replace(f"\n{old}", f"\n{new}")}
    assert any(complaint in problem for problem in problems(PROJECT, changed))


def test_a_package_without_a_hash_is_named() -> None:
    bare = re.sub(r"\n(httpx==\S+) \\\n(    --hash=\S+( \\)?\n)+", r"\n\1\n", TEXTS["service"])
    assert "requirements/service.txt: httpx has no hash" in list(problems(PROJECT, {**TEXTS, "service": bare}))


def test_make_help_explains_every_target() -> None:
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = "install demo up check test test-all coverage lint bench lock clean help"
    assert [t for t in wanted.split() if not re.search(rf"^  {t} +\S", text, re.MULTILINE)] == []


def find_python(path: Path, *named: str) -> subprocess.CompletedProcess[str]:
    script = ["/bin/sh", str(ROOT / "scripts/find-python.sh"), *named]
    return subprocess.run(script, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_without_a_python_it_says_what_to_install(tmp_path: Path) -> None:
    found = find_python(tmp_path)
    assert (found.returncode, "Python 3.11, 3.12 or 3.13 (found: none)" in found.stderr) == (2, True)


def test_an_old_python_is_not_taken(tmp_path: Path) -> None:
    script(tmp_path / "python3", 'case "$2" in *platform*) echo 3.9.2;; *) exit 1;; esac')
    found = find_python(tmp_path)
    assert (found.returncode, "found: 3.9.2" in found.stderr) == (2, True)


def test_a_python_without_venv_is_told_apart(tmp_path: Path) -> None:
    script(tmp_path / "python3", 'case "$2" in *ensurepip*) exit 1;; *platform*) echo 3.12.3;; *) exit 0;; esac')
    found = find_python(tmp_path)
    assert (found.returncode, "apt install python3-venv" in found.stderr) == (2, True)


def test_the_first_that_fits_is_taken(tmp_path: Path) -> None:
    script(tmp_path / "python3.13", "exit 127")
    script(tmp_path / "python3.12", 'case "$2" in *realpath*) echo /opt/python3.12;; *) exit 0;; esac')
    assert find_python(tmp_path).stdout == "/opt/python3.12\n"


def test_a_named_python_that_does_not_fit_is_not_replaced_by_another(tmp_path: Path) -> None:
    script(tmp_path / "python3", "exit 0")
    found = find_python(tmp_path, "/nowhere/python3.12")
    assert (found.returncode, found.stdout, "make PYTHON=" in found.stderr) == (2, "", True)


def test_ci_runs_lint_and_test_and_nothing_else() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert [line for line in lines if line.startswith("make")] == ["make lint", "make test-all"]


def test_the_version_is_the_same_everywhere() -> None:
    chart = yaml.safe_load((ROOT / "deploy/helm/baton/Chart.yaml").read_text())
    assert {PROJECT["version"], VERSION, chart["version"], chart["appVersion"]} == {PROJECT["version"]}
