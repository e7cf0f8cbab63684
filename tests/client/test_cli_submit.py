"""Submits jobs and watches them on the command line."""

import json
from pathlib import Path

import pytest

from tests.client.command_line import Baton
from tests.client.fake_service import FakeService, job


def test_submit_sends_a_file_with_its_changes(baton: Baton, fake: FakeService) -> None:
    Path("spec.yaml").write_text("name: mine\nstages: [{epochs: 3}, {epochs: 4}]\n")
    result = baton("submit", "spec.yaml", "--set", "stages.*.epochs=2", "--set", "labels.team=vision")
    assert result.exit_code == 0, result.output
    assert fake.requests[0][2] == {
        "name": "mine",
        "stages": [{"epochs": 2}, {"epochs": 2}],
        "labels": {"team": "vision"},
    }
    assert "submitted mine" in result.stdout


def test_submit_takes_a_plan_and_standard_input(baton: Baton, fake: FakeService) -> None:
    assert baton("submit", "digits-demo", "--set", "seed=7").exit_code == 0
    assert baton("submit", "-", input="name: piped").exit_code == 0
    assert [body for _, _, body in fake.requests] == [{"plan": "digits-demo", "set": {"seed": 7}}, {"name": "piped"}]


@pytest.mark.parametrize(
    ("content", "arguments", "complaint"),
    [
        ("name: bad", [], "stages.0.epochs: at least 1"),
        ("- a\n- b", [], "must be a mapping"),
        ("a: [", [], "is not valid YAML"),
        ("name: x", ["--set", "seed"], "PATH=VALUE"),
        ("name: x", ["--set", "name.sub=1"], "name.sub"),
    ],
)
def test_a_bad_spec_is_bad_usage(baton: Baton, content: str, arguments: list[str], complaint: str) -> None:
    Path("spec.yaml").write_text(content)
    result = baton("submit", "spec.yaml", *arguments)
    assert (result.exit_code, complaint in result.stderr) == (2, True), result.output


def test_a_missing_file_is_bad_usage(baton: Baton) -> None:
    result = baton("submit", "nowhere.yaml")
    assert (result.exit_code, "cannot read nowhere.yaml" in result.stderr) == (2, True)


@pytest.mark.parametrize(("end", "status"), [("succeeded", 0), ("failed", 1), ("cancelled", 1)])
def test_watch_ends_with_the_job(baton: Baton, fake: FakeService, end: str, status: int) -> None:
    fake.jobs["j1"] = job("j1")
    fake.stories["j1"] = [job("j1"), job("j1", version=2, status=end, message="because")]
    result = baton("watch", "j1")
    assert result.exit_code == status, result.output
    assert f"digits-demo: {end}" in result.stdout


def test_submit_and_watch(baton: Baton, fake: FakeService) -> None:
    first = job("0" * 32)
    fake.stories["0" * 32] = [first, {**first, "version": 2, "status": "succeeded"}]
    result = baton("submit", "digits-demo", "--watch")
    assert (result.exit_code, "digits-demo: succeeded" in result.stdout) == (0, True), result.output


def test_watch_prints_a_line_of_json_a_change(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1", status="succeeded")
    shown = baton("watch", "j1", "--json")
    assert [json.loads(line)["status"] for line in shown.stdout.splitlines()] == ["succeeded"]


@pytest.mark.parametrize(
    ("given", "point"),
    [("first", "latest"), ("first@best", "best"), (f"{'1' * 32}@latest", "latest"), ("first@1200", 1200)],
)
def test_a_start_from_another_job_is_asked_for_by_id(
    baton: Baton, fake: FakeService, given: str, point: str | int
) -> None:
    source = {"kind": "from", "job": "1" * 32, "name": "first", "checkpoint": {"role": None, "global_step": 1200}}
    fake.jobs["1" * 32] = job("1" * 32, name="first", source={**source, "deleted": True})
    result = baton("submit", "--from", given, "--set", "stages.0.epochs=9", "--name", "second")
    assert result.exit_code == 0, result.output
    body = {"from": {"job": "1" * 32, "checkpoint": point}, "set": {"stages.0.epochs": 9}, "name": "second"}
    assert fake.requests[-1][2] == body
    assert f"made from   step 1,200 of first  {'1' * 32} (deleted)" in baton("status", "first").stdout


def test_a_clone_is_asked_for_by_id(baton: Baton, fake: FakeService) -> None:
    fake.jobs["1" * 32] = job("1" * 32, name="first")
    assert baton("clone", "first", "--set", "seed=7").exit_code == 0
    assert fake.requests[-1][2] == {"clone": "1" * 32, "set": {"seed": 7}, "name": None}


@pytest.mark.parametrize("arguments", [[], ["digits-demo", "--from", "first"], ["--from", "first@newest"]])
def test_a_submission_has_one_source(baton: Baton, fake: FakeService, arguments: list[str]) -> None:
    result = baton("submit", *arguments)
    assert (result.exit_code, fake.requests) == (2, []), result.output
