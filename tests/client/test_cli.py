"""The command line as a person or a script uses it."""

import json
from pathlib import Path

import pytest

from tests.client.command_line import Baton
from tests.client.fake_service import TOKEN, FakeService, job


def test_help_names_every_promised_command(baton: Baton) -> None:
    text = baton("--help").stdout
    promised = "up serve worker demo submit list status watch pause resume cancel retry history events logs artifacts"
    promised += " clone plans plan doctor fetch report evaluate token audit dashboard workers notify delete prune"
    promised += " label edit projects project"
    assert [name for name in promised.split() if f" {name} " not in text] == []


@pytest.mark.parametrize(
    ("command", "status"), [("pause", "pausing"), ("resume", "queued"), ("cancel", "cancelling"), ("retry", "queued")]
)
def test_steering(baton: Baton, fake: FakeService, command: str, status: str) -> None:
    fake.jobs["j1"] = job("j1")
    assert status in baton(command, "j1").stdout
    assert json.loads(baton(command, "j1", "--json").stdout)["status"] == status


def test_refusals_have_status_4(baton: Baton, fake: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.jobs["j1"] = job("j1", status="succeeded")
    conflict = baton("pause", "j1")
    assert (conflict.exit_code, "not possible now" in conflict.stderr) == (4, True)
    unknown = baton("status", "nothing")
    assert (unknown.exit_code, "baton list" in unknown.stderr) == (4, True)
    monkeypatch.setenv("BATON_TOKEN", "wrong")
    stranger = baton("list")
    assert (stranger.exit_code, "BATON_TOKEN" in stranger.stderr) == (4, True)


def test_delete_takes_several_jobs_and_force(baton: Baton, fake: FakeService) -> None:
    for job_id, status in (("j1", "succeeded"), ("j2", "failed"), ("j3", "running")):
        fake.jobs[job_id] = job(job_id, name=f"name-{job_id}", status=status)
    assert baton("delete", "j1", "name-j2").exit_code == 0
    refused = baton("delete", "j3")
    assert (refused.exit_code, "force=true" in refused.stderr) == (4, True)
    assert [one["id"] for one in json.loads(baton("delete", "j3", "--force", "--json").stdout)] == ["j3"]
    assert fake.jobs == {}


def test_prune_shows_what_is_due_and_what_is_left(baton: Baton, fake: FakeService) -> None:
    fake.lists["prune"] = [{"kind": "jobs", "number": 1200, "bytes": 5_000_000, "more": False, "left": 200}]
    shown = baton("prune", "--dry-run")
    assert ("1,200" in shown.stdout, "5.00 MB" in shown.stdout, "left" in shown.stdout) == (True, True, False)
    done = baton("prune")
    assert ("200" in done.stdout, "within an hour" in done.stderr) == (True, True)
    assert json.loads(baton("prune", "--json").stdout)["items"][0]["left"] == 200


def test_nobody_there_has_status_3(baton: Baton, fake: FakeService) -> None:
    fake.stop()
    result = baton("list")
    assert (result.exit_code, "baton up" in result.stderr) == (3, True)


def test_without_any_service_known_it_says_so(baton: Baton, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATON_URL")
    result = baton("list")
    assert (result.exit_code, "baton up" in result.stderr) == (3, True)


def test_a_running_stack_in_this_folder_is_found(
    baton: Baton, fake: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BATON_URL")
    monkeypatch.delenv("BATON_TOKEN")
    Path(".baton").mkdir()
    Path(".baton/connection.json").write_text(json.dumps({"url": fake.url, "token": TOKEN}))
    assert baton("list").exit_code == 0


def test_artifacts_come_whole(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1")
    fake.files = {"best.keras": b"abc", "history.csv": b"d"}
    assert baton("artifacts", "j1", "best.keras", "--to", "out/deep").exit_code == 0
    assert [(p.name, p.read_bytes()) for p in Path("out/deep").iterdir()] == [("best.keras", b"abc")]
    missing = baton("artifacts", "j1", "nope", "--to", "out")
    assert (missing.exit_code, "it has: best.keras, history.csv" in missing.stderr) == (4, True)


def test_plans(baton: Baton, fake: FakeService) -> None:
    spec = {"name": "digits-demo", "stages": [{"epochs": 2}]}
    fake.lists["plans"] = [{"name": "digits-demo", "title": "Handwritten digits", "spec": spec}]
    assert "Handwritten digits" in baton("plans").stdout
    assert "Handwritten digits" in baton("plan", "digits-demo").stdout
    assert "epochs: 2" in baton("plan", "digits-demo", "--yaml").stdout
    assert json.loads(baton("plan", "digits-demo", "--json").stdout)["spec"] == spec
    assert baton("plan", "digits-demo", "--json", "--yaml").exit_code == 2
    assert baton("plan", "other").exit_code == 4


def test_a_worker_asks_either_redis_or_the_service(baton: Baton) -> None:
    result = baton("worker", "--poll", "--redis", "redis://r")
    assert (result.exit_code, "does not use --redis" in result.stderr) == (2, True), result.output
