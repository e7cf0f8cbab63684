"""`baton plans`, `baton plan` and `baton submit PLAN --set ...` against a real service."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from baton.cli import app
from tests.support.redis import running_redis
from tests.support.service import TOKEN, ServiceProcess, running_service

pytestmark = pytest.mark.process

Baton = Callable[..., Result]
PLANS = ["digits-demo", "paper-network-1", "paper-network-2", "report-model-1", "report-model-2"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with running_redis() as redis, running_service(tmp_path_factory.mktemp("plans"), redis.url) as process:
        yield process


@pytest.fixture
def baton(service: ServiceProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Baton:
    """The command line in a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"BATON_URL": service.url, "BATON_TOKEN": TOKEN, "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    return lambda line, **more: CliRunner().invoke(app, shlex.split(line), **more)


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    found = [line.rstrip() for line in result.stdout.splitlines()]
    assert max(map(len, found)) <= 80
    assert "…" not in result.stdout
    return found


def rows(found: list[str]) -> list[str]:
    """The lines of the table whose first cell is a number, with single spaces."""
    return [" ".join(line.split()) for line in found if line.strip()[:1].isdigit()]


def test_plans_lists_them_all_with_what_they_come_to(baton: Baton) -> None:
    text = lines(baton("plans"))
    cells = {line.split()[0]: " ".join(line.split()[1:]) for line in text[2 : 2 + len(PLANS)]}
    assert list(cells) == PLANS
    assert cells["paper-network-1"] == "network-1 17,927,040 17 245 49,000 4,096,000 59.5 % val"
    assert cells["report-model-1"] == "network-1 17,927,040 5 118 23,600 3,020,800 55 % test"
    assert cells["digits-demo"][-1] == "-"
    whole = " ".join(" ".join(text).split())
    assert "arXiv:1904.10429 (2019), network 1" in whole
    assert "to be given: --set dataset.path=..." in whole
    listed = json.loads(baton("plans --json").stdout)
    assert [plan["totals"]["epochs"] for plan in listed] == [30, 245, 108, 118, 123]


def test_plan_prints_the_papers_table(baton: Baton) -> None:
    text = lines(baton("plan paper-network-1"))
    table = rows(text)
    assert len(table) == 17
    assert table[0] == "1 32 64 256 15 200 none plateau x0.316, 5 latest 25.62 25.62"
    assert table[3] == "4 16 64 256 10 200 none constant latest 9.11 11.93"
    assert table[16] == "17 64 64 64 10 200 paper-1 plateau x0.316, 5 latest 58.71 59.33"
    assert "total: 17 stages, 245 epochs, 49,000 steps, 4,096,000 images seen" in text
    whole = " ".join(" ".join(text).split())
    assert "17,927,040 parameters, 17,916,784 trainable" in whole
    assert "monitor val_loss, factor 0.316, patience 5, cooldown 0, min_delta 1e-4, min_lr 5e-7" in whole
    assert "--set dataset.path=..." in whole


def test_plan_prints_cyclic_rates_and_names(baton: Baton) -> None:
    assert rows(lines(baton("plan paper-network-2")))[5] == (
        "6 64 64 128 12 782 paper-2 cyclic 1e-7..6e-7, 1564 best - 62.73"
    )
    assert any("4 epochs-81-83" in line for line in lines(baton("plan report-model-2")))


def test_plan_with_changes(baton: Baton) -> None:
    changes = "--set width=0.05 --set stages.*.epochs=1 --set stages.*.steps_per_epoch=2 --set dataset.path=/data"
    text = lines(baton(f"plan paper-network-2 {changes}"))
    assert "total: 6 stages, 6 epochs, 12 steps, 1,536 images seen" in text
    assert not any("to be given" in line for line in text)
    found = json.loads(baton(f"plan paper-network-2 {changes} --json").stdout)
    assert (found["spec"]["network"]["width"], found["totals"]["steps"]) == (0.05, 12)


def test_plan_as_yaml_is_a_spec_to_start_from(baton: Baton) -> None:
    text = baton("plan report-model-2 --set name=mine --set dataset.path=/data --yaml").stdout
    Path("mine.yaml").write_text(text)
    assert yaml.safe_load(text)["name"] == "mine"
    assert "total: 6 stages, 123 epochs, 29,416 steps, 5,933,056 images seen" in lines(baton("plan mine.yaml"))
    assert baton("submit mine.yaml").exit_code == 0


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("plan nonesuch", 4, "there are: digits-demo, paper-network-1"),
        ("plan paper-network-1 --set stages.*.epoch=1", 2, "stages.*.epoch: is not a known field; did you mean"),
        ("plan paper-network-1 --set stages.17.epochs=1", 2, "'17' is no index of a list of 17"),
        ("submit paper-network-1", 2, "dataset.path: data set tiny-imagenet-200 needs the path"),
        ("submit paper-network-1 --set dataset.path=/d --set nonesuch=1", 2, "nonesuch: is not a known field"),
        ("submit paper-network-1 --set dataset.path=/d --set stages.0.epochs=null", 2, "stages.0.epochs: is required"),
    ],
)
def test_what_cannot_be_is_named(baton: Baton, line: str, status: int, words: str) -> None:
    result = baton(line)
    assert (result.exit_code, words in result.stderr) == (status, True), result.output


def test_submit_with_changes_records_the_changed_plan(baton: Baton) -> None:
    changes = "--set width=0.05 --set dataset.path=/data --set stages.*.epochs=1 --set stages.*.steps_per_epoch=2"
    result = baton(f"submit paper-network-2 {changes} --json")
    assert result.exit_code == 0, result.output
    spec = json.loads(result.stdout)["spec"]
    assert (spec["network"]["width"], spec["dataset"]["path"]) == (0.05, "/data")
    assert [(stage["epochs"], stage["steps_per_epoch"]) for stage in spec["stages"]] == [(1, 2)] * 6
    assert [stage["published"]["best_val_accuracy"] for stage in spec["stages"]][-1] == 0.6273
    assert spec["published"] == {"best_val_accuracy": 0.6273}


def test_a_plan_of_a_program_shows_what_it_would_run(baton: Baton, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "name: own\nprogram: {command: [python, train.py, --lr, '3e-4']}\nparams: {lr: 3e-4}\n"
        "monitor: {metric: val_loss, mode: min}\n"
    )
    found = lines(baton("plan own.yaml --set program.environment.SEED=\"'7'\""))
    shown = {line.partition("  ")[0]: line.partition("  ")[2].strip() for line in found}
    assert shown["command"] == "python train.py --lr 3e-4"
    assert (shown["environment"], shown["params"], shown["best by"]) == ("SEED=7", '{"lr": 0.0003}', "val_loss, min")
    again = baton("plan own.yaml --yaml").stdout
    assert yaml.safe_load(again)["program"]["command"][3] == "3e-4"
    (tmp_path / "own.yaml").write_text(again)
    assert baton("plan own.yaml").exit_code == 0
    refused = baton("plan own.yaml --set params=1")
    assert "params: must be a mapping" in refused.stderr
