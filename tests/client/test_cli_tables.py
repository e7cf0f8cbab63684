"""The tables, CSV and JSON that the command line prints."""

import json

from tests.client.command_line import Baton
from tests.client.fake_service import NOW, FakeService, attempt, epoch, job, worker

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
