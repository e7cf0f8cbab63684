"""The command line as a person or a script uses it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from baton.cli import app
from baton.client.client import Client
from baton.client.errors import Unreachable
from tests.client.fake_service import NOW, TOKEN, FakeService, attempt, epoch, job, worker

Baton = Callable[..., Result]
LONG = "0123456789abcdef" * 2


@pytest.fixture
def baton(fake: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Baton:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATON_URL", fake.url)
    monkeypatch.setenv("BATON_TOKEN", TOKEN)
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *arguments, **kwargs: CliRunner().invoke(app, arguments, **kwargs)


def test_help_names_every_promised_command(baton: Baton) -> None:
    text = baton("--help").stdout
    promised = "up serve worker demo submit list status watch pause resume cancel history events logs artifacts"
    promised += " plans plan doctor fetch report evaluate token audit dashboard workers notify"
    assert [name for name in promised.split() if f" {name} " not in text] == []


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


def test_list_fits_80_columns_and_its_ids_can_be_used(baton: Baton, fake: FakeService) -> None:
    fake.jobs = {f"{k}{LONG[1:]}": job(f"{k}{LONG[1:]}", "a-rather-long-name-for-a-job" * 2) for k in range(3)}
    result = baton("list")
    assert max(map(len, result.stdout.splitlines())) <= 80
    shown = result.stdout.splitlines()[-2].split()[0]
    assert len(shown) < 32
    assert json.loads(baton("status", shown, "--json").stdout)["id"].startswith(shown)


def test_list_as_json_and_by_status(baton: Baton, fake: FakeService) -> None:
    fake.jobs = {"j1": job("j1"), "j2": job("j2", status="paused")}
    assert [j["id"] for j in json.loads(baton("list", "--json").stdout)] == ["j2", "j1"]
    assert [j["id"] for j in json.loads(baton("list", "--json", "--status", "paused").stdout)] == ["j2"]
    assert "no jobs that are failed" in baton("list", "--status", "failed").stderr


def test_tables_fit_80_columns(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1", message="a long explanation of what went wrong " * 5)
    fake.files = {"best.keras": b"x" * 2_000_000}
    fake.lists = {
        "history": [
            epoch(k, learning_rate=3.1622776e-4, seconds=1234.5, global_step=100_000 + k) for k in range(1, 12)
        ],
        "attempts": [
            attempt(1, "lost", 0, end_step=40, reason="lease_expired", worker="a-host-with-a-long-name-12345")
        ],
    }
    for command in (["status", "j1"], ["history", "j1"], ["artifacts", "j1"]):
        text = baton(*command).stdout
        assert text
        assert max(map(len, text.splitlines())) <= 80, text
        assert "…" not in text.partition("worker")[0], text


def test_status_says_where_the_time_went_and_that_saving_fails(baton: Baton, fake: FakeService) -> None:
    spent = {"training": 60.0, "waiting": 25.0, "checkpoint_stall": 0.1, "redone": 15.0, "total": 100.1, "goodput": 0.6}
    saved = {"global_step": 1200, "committed_at": NOW, "interval_seconds": 15.0, "age_seconds": 300.0}
    fake.jobs["j1"] = job("j1", goodput=spent, checkpoint={**saved, "overdue": False})
    fake.jobs["j2"] = job("j2", goodput=spent, checkpoint={**saved, "overdue": True})
    shown = baton("status", "j1").stdout
    assert "60% of 1 min 15 s; redone 15 s (apart from it waiting 25 s)" in shown
    assert "one every 15 s" in shown
    assert "OVERDUE" not in shown
    assert "OVERDUE" in baton("status", "j2").stdout


def test_history_as_csv_has_every_column(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1")
    fake.lists = {"history": [epoch(1), epoch(2)]}
    lines = baton("history", "j1", "--csv").stdout.splitlines()
    assert lines[0].split(",")[:4] == ["epoch", "stage", "stage_epoch", "global_step"]
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2"]


@pytest.mark.parametrize(("command", "status"), [("pause", "pausing"), ("resume", "queued"), ("cancel", "cancelling")])
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


def test_events(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1", status="succeeded")
    event = {"sequence": 1, "at": "2026-01-02T03:04:05Z", "kind": "claimed", "actor": "w", "message": "hi", "data": {}}
    fake.lists["events"] = [event, {**event, "sequence": 2, "message": "ho"}]
    assert [json.loads(line)["message"] for line in baton("events", "j1", "--json").stdout.splitlines()] == ["hi", "ho"]
    lines = baton("events", "j1", "--follow").stdout.splitlines()
    assert all(re.match(r"2026-01-0\d \d\d:\d\d:05[+-]\d\d:\d\d  claimed  ", line) for line in lines), lines
    assert len(lines) == 2
    fake.cuts = [40, 300]
    lines = baton("events", "j1", "--follow", "--json").stdout.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["hi", "ho"]


def test_logs(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1", status="succeeded", attempts=2)
    fake.logs = {"1": "erster Versuch: größer\n".encode(), "2": b"second attempt\n"}
    assert baton("logs", "j1").stdout == "second attempt\n"
    assert baton("logs", "j1", "--attempt", "1").stdout == "erster Versuch: größer\n"
    assert baton("logs", "j1", "--attempt", "3").exit_code == 4
    fake.log_step = 1
    followed = baton("logs", "j1", "--attempt", "1", "--follow")
    assert followed.stdout == "erster Versuch: größer\n"
    assert "attempt 1:" in followed.stderr


def test_logs_go_on_with_the_next_attempt(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1", attempts=1)
    fake.stories["j1"] = [
        job("j1", attempts=1),
        job("j1", attempts=1, status="recovering", version=2),
        job("j1", attempts=2, status="running", version=3),
        job("j1", attempts=2, status="succeeded", version=4),
    ]
    fake.logs = {"1": b"one\n", "2": b"two\n"}
    followed = baton("logs", "j1", "--follow")
    assert followed.exit_code == 0
    assert followed.stdout == "one\ntwo\n"
    assert followed.stderr.splitlines() == ["attempt 1:", "attempt 2:"]


def test_a_worker_asks_either_redis_or_the_service(baton: Baton) -> None:
    result = baton("worker", "--poll", "--redis", "redis://r")
    assert (result.exit_code, "does not use --redis" in result.stderr) == (2, True), result.output


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "baton.cli", *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.process
def test_the_real_command_writes_json_to_a_pipe(fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1")
    result = run("status", "j1", "--json", BATON_URL=fake.url, BATON_TOKEN=TOKEN)
    assert (result.returncode, json.loads(result.stdout)["id"]) == (0, "j1")


@pytest.mark.process
def test_the_real_command_has_no_traceback_for_a_service_that_is_away(fake: FakeService) -> None:
    fake.stop()
    result = run("list", BATON_URL=fake.url, BATON_TOKEN=TOKEN)
    assert result.returncode == 3
    assert "Traceback" not in result.stderr


REPORT = """
import json, os, sys
print(json.dumps([sys.argv[1:], os.environ.get("BATON_URL"), os.environ.get("BATON_PORT")]))
"""
BECOME = """
import sys
import baton.cli.programs as local
from baton.cli import main
local.child_environment = lambda env: {{**env, "PYTHONPATH": {path!r}, "PYTHONSAFEPATH": "1"}}
sys.argv = ["baton", *{arguments!r}]
main()
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("worker", "--service", "http://s", "--token", "t", "--queue", "gpu", "--queue", "low", "--once"), "worker"),
        (("worker", "--service", "http://s", "--poll"), "worker"),
        (("serve", "--port", "9999"), "service"),
    ],
)
def test_worker_and_serve_become_their_module(tmp_path: Path, command: tuple[str, ...], shown: str) -> None:
    package = tmp_path / shown
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(REPORT)
    code = BECOME.format(path=str(tmp_path), arguments=list(command))
    env = {**os.environ, "BATON_URL": ""}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60, check=True
    )
    arguments, url, port = json.loads(result.stdout)
    if shown == "worker":
        expected = ["--poll"] if "--poll" in command else ["--queue", "gpu", "--queue", "low", "--once"]
        assert (arguments, url) == (expected, "http://s")
    else:
        assert (arguments, port) == ([], "9999")


@pytest.mark.process
def test_doctor_looks_at_the_service_and_the_token(
    baton: Baton, fake: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "baton.cli.doctor.CHECKS", doctor_checks("python_version", "disk_space", "redis_binary", "service")
    )
    healthy = baton("doctor")
    assert healthy.exit_code == 0, healthy.output
    assert "ready at" in healthy.stdout
    assert "agrees with the service's" in healthy.stdout
    told = json.loads(baton("doctor", "--json").stdout)
    assert {one["what"]: one["verdict"] for one in told}["clock"] == "ok"
    monkeypatch.setenv("BATON_TOKEN", "wrong")
    assert baton("doctor").exit_code == 4
    fake.stop()
    away = baton("doctor")
    assert (away.exit_code, "baton up" in away.stdout) == (3, True)


def test_doctor_says_that_a_clock_is_wrong(baton: Baton, fake: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baton.cli.doctor.CHECKS", doctor_checks("service"))
    monkeypatch.setattr("baton.client.client.Client.clock_offset", lambda _: -4000.0)
    told = baton("doctor")
    assert (told.exit_code, "4000 s behind" in told.stdout, "NTP" in told.stdout) == (0, True, True)


def test_doctor_says_what_the_service_lacks(baton: Baton, fake: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(client: Client) -> None:
        raise Unreachable(fake.url, "it answered 503", "store: The disk of the store /s is full; make room")

    monkeypatch.setattr("baton.cli.doctor.CHECKS", doctor_checks("service"))
    monkeypatch.setattr(Client, "ready", full)
    told = baton("doctor")
    assert (told.exit_code, "baton up" in told.stdout) == (3, False)
    assert f"answers at {fake.url} and cannot work: store: The disk of the store /s is full" in told.stdout


def test_workers_are_listed(baton: Baton, fake: FakeService) -> None:
    nobody = baton("workers")
    assert (nobody.exit_code, "baton worker" in nobody.output) == (0, True)
    fake.lists["workers"] = [
        worker("w1", device="NVIDIA H100 80GB HBM3, with a long name that goes on", job_id="j" * 26)
    ]
    shown = baton("workers").stdout
    assert "w1" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert json.loads(baton("workers", "--json").stdout)[0]["name"] == "w1"


def test_watch_prints_a_line_of_json_a_change(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1", status="succeeded")
    shown = baton("watch", "j1", "--json")
    assert [json.loads(line)["status"] for line in shown.stdout.splitlines()] == ["succeeded"]


def doctor_checks(*names: str) -> tuple[object, ...]:
    from baton.cli import doctor

    return tuple(getattr(doctor, name) for name in names)
