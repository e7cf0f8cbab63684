"""A published plan, made small by `--set` alone, trains to its end on images in Tiny ImageNet's layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from client.cli import app
from tests.support.jobs import Jobs
from tests.support.service import TOKEN, ServiceProcess
from tests.support.worker import Workers
from tests.unit.training.pictures import tiny_imagenet

SMALL = ("width=0.05", "stages.*.epochs=1", "stages.*.steps_per_epoch=2", "stages.*.batch_size=8")


def test_paper_network_2_from_the_command_line_to_its_end(
    service: ServiceProcess, workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_URL", service.url)
    monkeypatch.setenv("BATON_TOKEN", TOKEN)
    workers.start()
    path = tiny_imagenet(tmp_path / "tiny", each=6)
    sets = [part for change in (*SMALL, f"dataset.path={path}") for part in ("--set", change)]
    submitted = CliRunner().invoke(app, ["submit", "paper-network-2", *sets, "--json"])
    assert submitted.exit_code == 0, submitted.output
    with service.client() as http:
        jobs = Jobs(http)
        job = json.loads(submitted.stdout)["id"]
        ended = jobs.await_end(job)
        assert ended["status"] == "succeeded", ended
        history = jobs.items(job, "history")
    assert [(row["stage"], row["global_step"]) for row in history] == [(k, 2 * k) for k in range(1, 7)]
    assert ended["progress"]["total_steps"] == 6 * 1 * 2
