"""The command line of the drill: verdicts, exit statuses, JSON, and errors that say what to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from baton.cli import app
from tests.drill.drilling import PROGRAMS, written

pytestmark = pytest.mark.process


def baton_drill(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["drill", *arguments])


def test_a_correct_program(tmp_path: Path) -> None:
    result = baton_drill(
        "--program", "python correct.py", "--code", str(PROGRAMS), "--quick", "--folder", str(tmp_path / "runs")
    )
    assert result.exit_code == 0, result.output
    assert "equal to the bit: 40 points, 8 rows" in result.stdout
    assert (tmp_path / "runs/with interruptions/trace-1.jsonl").exists()
    again = baton_drill("--program", "python correct.py", "--code", ".", "--folder", str(tmp_path / "runs"))
    assert again.exit_code == 2
    assert "give a new folder" in again.stderr


def test_the_whole_result_as_json(tmp_path: Path) -> None:
    options = ("--code", str(PROGRAMS), "--quick", "--seed", "3", "--json", "--folder", str(tmp_path / "runs"))
    result = baton_drill("--program", "python unsaved_schedule.py", *options)
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["verdict"], found["seed"], found["diagnosis"]["cause"]) == ("different", 3, "schedule")
    assert found["versions"]["python"] == sys.version.split()[0]
    assert found["versions"]["numpy"]
    assert len(found["schedule"]) == 2
    assert [run["name"].split()[0] for run in found["runs"]] == ["without", "with", "again"]
    ends = [run["digests"]["published/final.npz"]["weights"] for run in found["runs"][:2]]
    assert ends[0] != ends[1]
    assert found["first_checkpoint"]["name"] == "weights.npy"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("raise ValueError('no data')", "ValueError: no data"),
        ("print('trained')", "did not call baton.init()"),
        ("import baton; baton.init()", "made no save"),
        ("import baton, time; run = baton.init(); run.log({'x': 1}, step=0); time.sleep(600)", "made no call"),
        ("import baton; run = baton.init()\nwhile not run.save_due() or True: pass", "took longer than 2 s"),
    ],
)
def test_a_program_that_cannot_be_drilled(script: str, says: str, tmp_path: Path) -> None:
    code = written(tmp_path / "code", train=script)
    limits = ("--stall", "1s") if says == "made no call" else ("--timeout", "2s") if "longer" in says else ()
    result = baton_drill("--program", "python train.py", "--code", str(code), *limits)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "a spec or --program"),
        (("digits-demo", "--program", "python train.py"), "not both"),
        (("digits-demo", "--code", "."), "belong to a program"),
        (("--program", "python train.py", "--data", "x=/does/not/exist"), "NAME=PATH"),
        (("--program", "python train.py", "--stall", "soon"), "--stall soon"),
        (("--program", "python train.py", "--code", "/does/not/exist"), "give the folder"),
        (("--program", "python 'train.py"), "open quote"),
    ],
)
def test_wrong_options(arguments: tuple[str, ...], says: str) -> None:
    result = baton_drill(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.stderr


def test_params_data_and_a_spec(tmp_path: Path) -> None:
    script = """
import baton, os
from pathlib import Path
run = baton.init("ignored", params={"total": 1, "name": "x"}, data={"words": "nowhere"})
saved = run.restore()
words = run.data("words").read_text() + run.data("beside").read_text()
for step in range(saved.step if saved else 0, run.params["total"]):
    if run.save_due():
        with run.save(step=step + 1, cursor={"words": words, "env": os.environ["OWN"]}):
            pass
    run.check()
Path("result.txt").write_text(words)
run.publish("result.txt", "result.txt")
"""
    code = written(tmp_path / "code", train=script)
    (code / "data").mkdir()
    (code / ".gitignore").write_text("data\n")
    (code / "data/beside").write_text("two")
    (tmp_path / "words").write_text("one ")
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: mine\nprogram: {command: [python, train.py], environment: {OWN: value}}\nparams: {total: 9}\n"
    )
    options = ("--code", str(code), "--params", '{"total": 20}', "--data", f"words={tmp_path / 'words'}", "--quick")
    result = baton_drill(str(spec), *options, "--folder", str(tmp_path / "runs"))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "runs/with interruptions/run/published/result.txt").read_text() == "one two"
    assert not list(tmp_path.rglob("ignored"))
