"""The tables, CSV and JSON that the command line prints."""

import csv
import io
import json
from typing import Any

from baton.cli.watch import plain_line
from baton.domain.views import JobView
from tests.client.command_line import Baton
from tests.client.fake_service import NOW, FakeService, attempt, epoch, job, series, worker

LONG = "0123456789abcdef" * 2


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
    assert "no jobs that are failed with the label a=b" in baton("list", "--status", "failed", "--label", "a=b").stderr
    fake.jobs["j3"] = job("j3", labels={"a": "b"})
    assert [j["id"] for j in json.loads(baton("list", "--json", "--label", "a=b").stdout)] == ["j3"]
    assert baton("list", "--label", "a").exit_code == 2


def test_status_shows_what_its_owner_noted_and_how_an_ended_job_goes_on(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1")
    assert "project" not in baton("status", "j1").stdout
    remarks = {"labels": {"team": "red", "of": "x"}, "notes": "one\ntwo", "protected": True}
    fake.jobs["j1"] = job("j1", **remarks, retries=2, project="vision", owner="ada")
    text = baton("status", "j1").stdout
    rows = {line[:11].strip(): line[11:].strip() for line in text.splitlines()}
    assert (rows["labels"], rows["notes"], rows[""]) == ("team=red, of=x", "one", "two")
    assert (rows["protected"], rows["attempts"].endswith(", 2 retries")) == ("retention keeps this job", True)
    assert rows["project"] == "vision, submitted by ada"
    assert "baton retry" not in text
    fake.jobs["j1"] = job("j1", notes="word " * 1000, status="failed", reason="bad_data")
    text = baton("status", "j1").stdout
    assert ("baton retry j1" in text, text.count("word") < 100, max(map(len, text.splitlines())) <= 80) == (True,) * 3


def test_tables_fit_80_columns(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1", message="a long explanation of what went wrong " * 5)
    fake.files = {"best.keras": b"x" * 2_000_000}
    fake.lists = {
        "series": [series("loss"), series("a-group/with-a-long-name/" * 4, last_step=2**40, count=20_000)],
        "history": [
            epoch(k, learning_rate=3.1622776e-4, seconds=1234.5, global_step=100_000 + k) for k in range(1, 12)
        ],
        "attempts": [
            attempt(1, "lost", 0, end_step=40, reason="lease_expired", worker="a-host-with-a-long-name-12345")
        ],
    }
    for command in (["status", "j1"], ["history", "j1"], ["series", "j1"], ["artifacts", "j1"]):
        text = baton(*command).stdout
        assert text
        assert max(map(len, text.splitlines())) <= 80, text
        assert "…" not in text.partition("worker")[0], text


def program_epoch(number: int, **metrics: float) -> dict[str, Any]:
    """A row of a program."""
    return {
        "epoch": number, "stage": 1, "stage_epoch": number, "global_step": number * 20, "image_size": None,
        "attempt": 1, "seconds": 2.5, "finished_at": NOW, "metrics": metrics,
    }  # fmt: skip


def test_the_history_of_a_program(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1")
    many = {f"m{k}": float(k) for k in range(6)}
    fake.lists = {"history": [program_epoch(1, val_loss=2e-5), program_epoch(2, val_loss=float("inf"), **many)]}
    shown = baton("history", "j1")
    header, _, first, second = (line.split() for line in shown.stdout.splitlines())
    assert header == ["epoch", "step", "val_loss", "m0", "m1", "m2", "m3", "s", "att"]
    assert first == ["1", "20", "2e-05", "2.5", "1"]
    assert second == ["2", "40", "inf", "0.0000", "1.0000", "2.0000", "3.0000", "2.5", "1"]
    assert "2 more metrics" in shown.stderr
    chosen = baton("history", "j1", "--metric", "m5", "--metric", "val_loss")
    assert chosen.stdout.splitlines()[0].split() == ["epoch", "step", "m5", "val_loss", "s", "att"]
    assert chosen.stderr == ""
    refused = baton("history", "j1", "--metric", "dice")
    assert "--metric dice: the history has no such metric; it has val_loss, m0" in refused.stderr
    rows = list(csv.DictReader(io.StringIO(baton("history", "j1", "--csv").stdout)))
    assert (rows[0]["val_loss"], rows[0]["m0"], rows[1]["m5"], rows[1]["image_size"]) == ("2e-05", "", "5.0", "")


def test_the_line_of_a_job_shows_the_metrics_of_a_program() -> None:
    best = {"metric": "dice", "value": 0.5, "stage": 1, "epoch": 1}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"metrics": {"a": 1.0, "loss": 2.0, "dice": 2e-5}, "best": best}, ", loss 2.0000, dice 2e-05"),
        ({"metrics": {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}}, ", a 1.0000, b 2.0000, c 3.0000"),
    ]
    for changes, wanted in cases:
        line = plain_line(JobView.model_validate(job("j1", progress=None, **changes))).plain
        assert line.endswith(f"running{wanted}"), line


def test_status_says_where_the_time_went_and_that_saving_fails(baton: Baton, fake: FakeService) -> None:
    spent = {"training": 60.0, "waiting": 25.0, "checkpoint_stall": 0.1, "redone": 15.0, "total": 100.1, "goodput": 0.6}
    saved = {"global_step": 1200, "committed_at": NOW, "interval_seconds": 15.0, "age_seconds": 300.0}
    fake.jobs["j1"] = job("j1", goodput=spent, checkpoint={**saved, "overdue": False})
    fake.jobs["j2"] = job("j2", goodput=spent, checkpoint={**saved, "overdue": True})
    shown = baton("status", "j1").stdout
    assert "60% of 1 min 15 s; redone 15 s (not counted: waiting 25 s)" in shown
    assert "one every 15 s" in shown
    assert "OVERDUE" not in shown
    assert "OVERDUE" in baton("status", "j2").stdout


def test_status_says_that_files_are_left_out(baton: Baton, fake: FakeService) -> None:
    at = dict.fromkeys(("stage", "stages", "epoch", "epochs", "step", "steps", "global_step", "total_steps"), 1)
    fake.jobs["j1"] = job("j1", progress={**at, "fraction": 1.0, "files_left_out": 1200})
    assert "1,200 files left out: see the events" in baton("status", "j1").stdout
    fake.jobs["j1"] = job("j1", progress={**at, "fraction": 1.0})
    assert "left out" not in baton("status", "j1").stdout


def test_history_as_csv_has_every_column(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1")
    fake.lists = {"history": [epoch(1), epoch(2)]}
    lines = baton("history", "j1", "--csv").stdout.splitlines()
    assert lines[0].split(",")[:4] == ["epoch", "stage", "stage_epoch", "global_step"]
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2"]


def test_series_are_listed_and_their_points_shown(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1")
    nothing = baton("series", "j1")
    assert (nothing.exit_code, "no series yet" in nothing.stderr) == (0, True)
    fake.lists = {"series": [series("loss"), series("system/cpu", last_step=1_800_000_000)]}
    shown = baton("series", "j1").stdout
    assert [line.split() for line in shown.splitlines()[2:4]] == [
        ["loss", "3", "40", "0.5", "0.25", "2"],
        ["system/cpu", "3", "-", "0.5", "0.25", "2"],
    ]
    fake.lists = {"series": [series("loss", points=[[0, 2.0, 1.8e9], [40, "NaN", 1.8e9]])]}
    assert [line.split()[-2:] for line in baton("series", "j1", "loss").stdout.splitlines()[2:]] == [
        ["0", "2"],
        ["40", "nan"],
    ]
    assert json.loads(baton("series", "j1", "loss", "--json").stdout)[0]["points"][1][1] == "NaN"
    csv = baton("series", "j1", "loss", "--csv").stdout
    assert csv == "name,step,value,at\nloss,0,2.0,1800000000.0\n"


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


PROGRAM = {"name": "own", "program": {"command": ["python", "a b.py"], "code": None}, "params": {"lr": 0.1}}
AT_STEP = dict.fromkeys(("stage", "stages", "epoch", "epochs", "step", "steps", "total_steps"), 0) | {
    "global_step": 1500
}


def test_status_of_a_program_says_what_it_runs_and_only_totals_that_are_known(baton: Baton, fake: FakeService) -> None:
    fake.lists = {"stages": []}
    fake.jobs["j1"] = job("j1", spec=PROGRAM, progress={**AT_STEP, "fraction": 0.0})
    known = {"epoch": 2, "epochs": 4, "total_steps": 6000, "fraction": 0.25, "eta_seconds": 90.0}
    fake.jobs["j2"] = job("j2", spec=PROGRAM, progress={**AT_STEP, **known})
    shown = baton("status", "j1").stdout
    assert "python 'a b.py'" in shown
    assert '{"lr": 0.1}' in shown
    assert "1,500 steps, started" in shown
    assert "stage" not in shown
    assert "25.0% (1,500 of 6,000 steps), about 1 min 30 s left" in baton("status", "j2").stdout
    rows = {line.split()[0]: line.split() for line in baton("list").stdout.splitlines() if line.startswith("j")}
    assert (rows["j1"][3:5], rows["j2"][3:5]) == (["-", "-"], ["2/4", "25%"])
