"""The command line of a program: with uv where its folder says so, and of installed packages by their entry point."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from baton.domain.errors import JobFailure
from worker.programs import command as module
from worker.programs.command import command_for, command_of_package

INLINE = '# /// script\n# dependencies = ["numpy"]\n# ///\nimport numpy\n'
TRAIN = ["python", "train.py", "--lr", "3e-4"]


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_a_project_or_without_uv_the_workers_own_python_runs_it(tmp_path: Path) -> None:
    write(tmp_path, train_py="", pyproject_toml="[tool.ruff]\n")
    own = ["/venv/python", "train.py", "--lr", "3e-4"]
    assert command_for(tmp_path, TRAIN, uv="/bin/uv", python="/venv/python") == own
    write(tmp_path, train_py=INLINE, uv_lock="")
    assert command_for(tmp_path, TRAIN, python="/venv/python") == own
    assert command_for(tmp_path, ["./run", "x"]) == ["./run", "x"]


def test_a_project_runs_in_its_environment_and_a_lock_is_kept(tmp_path: Path) -> None:
    write(tmp_path, pyproject_toml="[project]\nname = 'p'\n", src__train_py="")
    run = ["/bin/uv", "run", "--project", str(tmp_path)]
    assert command_for(tmp_path, TRAIN, "src", uv="/bin/uv") == [*run, "--", *TRAIN]
    write(tmp_path, uv_lock="version = 1\n")
    assert command_for(tmp_path, TRAIN, "src", uv="/bin/uv") == [*run, "--frozen", "--", *TRAIN]


def test_a_script_with_inline_metadata_has_an_environment_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, train_py=INLINE, uv_lock="")
    expected = ["/bin/uv", "run", "--no-project", "--script", "train.py", "--lr", "3e-4"]
    for start in (["python3.11"], ["python", "-u"], []):
        assert command_for(tmp_path, [*start, *TRAIN[1:]], uv="/bin/uv") == expected
    assert "--script" not in command_for(tmp_path, ["python", "-m", "train.py"], uv="/bin/uv")


@pytest.mark.parametrize("program", ["/usr/bin/python3", "./train.sh", "uv", "uvx"])
def test_a_program_that_is_named_by_its_path_and_uv_are_left_alone(tmp_path: Path, program: str) -> None:
    write(tmp_path, uv_lock="", train_py="")
    assert command_for(tmp_path, [program, "train.py"], uv="/bin/uv") == [program, "train.py"]


def test_a_project_above_the_bundle_is_not_the_programs(tmp_path: Path) -> None:
    write(tmp_path, uv_lock="", bundle__train_py="")
    assert command_for(tmp_path / "bundle", TRAIN, uv="/bin/uv", python="p") == ["p", *TRAIN[1:]]


@pytest.mark.process
def test_an_entry_point_runs_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("prefix", "os.path:basename.__class__", module.GROUP)
    monkeypatch.setattr(module, "entry_points", lambda group: [point] if group == module.GROUP else [])
    line = command_of_package(["prefix", "a"], python=sys.executable)
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (line[-1], "function() missing" in done.stderr) == ("a", True)  # the object was found, and called


def test_a_program_that_the_worker_lacks_is_named_with_those_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("finetune", "trainings", module.GROUP)
    monkeypatch.setattr(module, "entry_points", lambda group: [point])
    assert command_of_package(["finetune", "x"], python="p") == ["p", "-m", "trainings", "x"]
    assert command_of_package(["sh", "-c", "true"]) == ["sh", "-c", "true"]
    with pytest.raises(JobFailure, match="its programs: finetune"):
        command_of_package(["no-such-program-anywhere"])
