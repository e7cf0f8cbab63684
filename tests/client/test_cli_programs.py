"""`baton submit --program`: the options become a spec, and the folder its code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from baton.client.client import Client
from baton.client.packing.selection import LeftOut
from tests.client.command_line import Baton
from tests.client.fake_service import FakeService

CODE = f"sha256:{'c' * 64}"


class Pushed:
    """What the service answers to a push of code."""

    code, files, bytes, sent = CODE, 3, 81_000, True
    left_out = (LeftOut(".env", "looks like a secret"),)
    paths = ("train.py",)


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    folders: list[Path] = []
    monkeypatch.setattr(Client, "push_code", lambda _client, folder: folders.append(folder) or Pushed())
    return folders


def sent(fake: FakeService) -> Any:
    return fake.requests[-1][2]


def test_the_options_become_a_spec(baton: Baton, fake: FakeService, pushed: list[Path]) -> None:
    result = baton(
        "submit", "--program", "python train.py --name 'a b'", "--code", "My Training", "--monitor", "val/loss:min",
        "--params", '{"lr": 1e5, "tag": "3e-4"}', "--data", "train=photos", "--data", "val=photos-2",
        "--set", "params.lr=0.5", "--set", "limits.stall=15m",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert sent(fake) == {
        "program": {"command": ["python", "train.py", "--name", "a b"], "code": CODE},
        "params": {"lr": 0.5, "tag": "3e-4"},
        "monitor": {"metric": "val/loss", "mode": "min"},
        "data": {"train": "photos", "val": "photos-2"},
        "name": "My-Training",
        "limits": {"stall": "15m"},
    }
    assert pushed == [Path("My Training")]
    assert "code: 3 files, 0.08 MB\nleft out: .env looks like a secret\n" in result.stderr


def test_the_options_change_a_spec_in_a_file(baton: Baton, fake: FakeService, pushed: list[Path]) -> None:
    Path("job.yaml").write_text("name: mine\nprogram: {command: [python, train.py]}\nparams: {lr: 3e-4, seed: 1}\n")
    Path("more.yaml").write_text("seed: 2\n")
    Path("train.py").touch()
    assert baton("submit", "job.yaml", "--code", ".", "--params", "more.yaml", "--name", "other").exit_code == 0
    assert sent(fake) == {
        "name": "other",
        "program": {"command": ["python", "train.py"], "code": CODE},
        "params": {"lr": 0.0003, "seed": 2},
    }
    assert len(pushed) == 1


def test_a_script_that_git_ignores_is_not_submitted(baton: Baton, fake: FakeService, pushed: list[Path]) -> None:
    Path("other.py").touch()
    result = baton("submit", "--program", "python ./other.py", "--code", ".")
    assert (result.exit_code, "other.py was not sent: git ignores it" in result.stderr) == (2, True), result.output
    assert [one for one in fake.requests if one[0] == "POST"] == []


def test_a_program_without_code_has_its_own_name(baton: Baton, fake: FakeService, pushed: list[Path]) -> None:
    assert baton("submit", "--program", "/opt/trainings/fine_tune.sh --fast").exit_code == 0
    assert sent(fake) == {
        "program": {"command": ["/opt/trainings/fine_tune.sh", "--fast"]},
        "name": "fine_tune.sh",
    }
    assert pushed == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--code", "."], "--program COMMAND"),
        (["plain.yaml", "--code", "."], "add --program"),
        (["digits-demo", "--code", "."], "is the name of a plan"),
        (["--from", "j1", "--monitor", "loss:min"], "--from takes the program of the other job"),
        (["--program", "python 'train.py"], "open quote"),
        (["--program", " "], "needs a command"),
        (["--program", "x", "--monitor", "loss"], "METRIC:min or METRIC:max"),
        (["--program", "x", "--data", "photos"], "--data needs NAME=DATA"),
        (["--program", "x", "--params", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (["--program", "x", "--params", "{a: ["], "is not JSON or YAML"),
        (["--program", "x", "--params", "list.yaml"], "must be a mapping"),
        (["--program", "x", "--code", ".", "--set", "limits.no=1"], "limits.no"),
        (["--program", "python nowhere.py", "--code", "."], "nowhere.py is not in ., where the command runs"),
        (["--program", "python code/own.py", "--code", "code"], "is not in code, where the command runs; write own.py"),
    ],
)
def test_a_wrong_option_is_bad_usage_and_sends_nothing(
    baton: Baton, fake: FakeService, pushed: list[Path], arguments: list[str], complaint: str
) -> None:
    Path("list.yaml").write_text("- 1\n")
    Path("plain.yaml").write_text("name: x\n")
    Path("code").mkdir()
    Path("code/own.py").touch()
    result = baton("submit", *arguments)
    assert (result.exit_code, complaint in result.stderr) == (2, True), result.output
    assert (pushed, [one for one in fake.requests if one[0] == "POST"]) == ([], [])
