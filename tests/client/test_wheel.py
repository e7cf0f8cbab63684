"""What `pip install .` installs, next to packages of the user with common names."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from sysconfig import get_path

import httpx
import pytest

from scripts.check_locks import ROOT

pytestmark = pytest.mark.process

NAMES = ("core", "client", "common", "service", "worker", "models", "migrations")
BELOW = "baton/_programs/"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file)


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with this wheel and the dependencies of the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    wheel.extractall(packages)
    # Python ignores .pth files in a folder that a .pth file names, so the checkout is not importable.
    (packages / "dependencies.pth").write_text(f"{get_path('purelib')}\n")
    return folder / "bin/python"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's project with packages of those names."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True\n")
        (tmp_path / name / "__main__.py").write_text("raise SystemExit('the package of the user')\n")
    return tmp_path


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("BATON_", "PYTHON"))}


def test_only_baton_is_at_the_top(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"baton"}
    assert {"baton/py.typed", f"{BELOW}service/__main__.py", f"{BELOW}models/plans/digits-demo.yaml"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("baton/tests")]


def test_the_users_packages_stay_the_users(installed: Path, folder: Path) -> None:
    code = f"import baton, {', '.join(NAMES)}; baton.Client; print(all(m.MINE for m in [{', '.join(NAMES)}]))"
    done = subprocess.run([installed, "-c", code], cwd=folder, env=clean(), capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.fixture
def up(installed: Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [str(installed), "-P", "-m", "baton.cli", "up", "--port", "0", "--workers", "0"]
    with subprocess.Popen(command, cwd=folder, env=clean(), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def test_the_installed_stack_runs_where_the_user_has_a_service_of_his_own(up: subprocess.Popen[str]) -> None:
    assert up.stdout is not None
    for line in up.stdout:
        if found := re.search(r"URL +(http://\S+)", line):
            break
    assert httpx.get(f"{found[1]}/readyz").is_success
    plans = f"{found[1]}/v1/plans"
    token = next(re.search(r"token +(\S+)", line) for line in up.stdout)
    listed = httpx.get(plans, headers={"Authorization": f"Bearer {token[1]}"}).json()["items"]
    assert "digits-demo" in {plan["name"] for plan in listed}
