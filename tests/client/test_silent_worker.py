"""The CLI shows a silent worker: the age of its last heartbeat, no outdated speed, and times and reasons of changes."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from baton.cli.watch import Watcher
from baton.client.client import Client
from baton.domain.views import JobView
from tests.client.command_line import Baton
from tests.client.conftest import baton
from tests.client.fake_service import FakeService, attempt, job, progress, worker

__all__ = ["baton"]
HEARD = {"beat_at": "2026-01-02T03:04:00Z", "lease_expires_at": "2026-01-02T03:04:30Z", "as_of": "2026-01-02T03:04:01Z"}
SLOW = {**progress(), "images_per_second": None, "eta_seconds": None}
SILENT = {**HEARD, "as_of": "2026-01-02T03:04:08Z", "silent_seconds": 8.0, "progress": SLOW}
LOST = "worker worker-1 sent no heartbeat until its lease expired"
WORDS = "worker worker-1 silent for 8 s; its lease ends in 22 s"


@pytest.fixture
def story(fake: FakeService) -> list[dict[str, Any]]:
    fake.jobs["j1"] = job("j1", **HEARD)
    fake.stories["j1"] = [
        job("j1", **HEARD),
        job("j1", **HEARD),
        job("j1", **SILENT),
        job("j1", **SILENT),
        job("j1", version=2, status="recovering", reason="lease_expired", message=LOST, preemptions=1, attempts=2,
            progress=SLOW, as_of="2026-01-02T03:04:31Z"),
        job("j1", version=3, status="succeeded", preemptions=1, attempts=2, as_of="2026-01-02T03:05:00Z"),
    ]  # fmt: skip
    return fake.stories["j1"]


def test_a_job_whose_worker_falls_silent_is_told_without_a_new_version(
    client: Client, story: list[dict[str, Any]]
) -> None:
    assert len(story) == 6
    told = [(seen.version, seen.silent_seconds) for seen in client.follow("j1")]
    assert told == [(1, None), (1, 8.0), (2, None), (3, None)]


def test_watch_in_a_pipe_says_when_and_why(baton: Baton, story: list[dict[str, Any]]) -> None:
    assert story
    lines = baton("watch", "j1").stdout.splitlines()
    assert [line.split("  ")[0][:9] for line in lines] == ["2026-01-0"] * 4
    assert all(line[19:25].startswith(("+", "-")) for line in lines), lines
    assert WORDS not in lines[0]
    assert f"digits-demo: running, {WORDS}" in lines[1]
    assert f"digits-demo: recovering: {LOST} (lease_expired)" in lines[2]
    assert lines[2].endswith("interrupted 1 time")
    assert "digits-demo: succeeded" in lines[3]


def test_watch_in_a_pipe_says_what_a_queued_job_waits_for(baton: Baton, fake: FakeService) -> None:
    queued = job("j1", status="queued", worker=None, progress=None, waiting_for="a worker of queue default")
    fake.jobs["j1"] = queued
    fake.stories["j1"] = [queued, queued, job("j1", status="succeeded", version=2)]
    assert "digits-demo: queued, waits for a worker of queue default" in baton("watch", "j1").stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({**HEARD}, "512 images/s, about 1 min 15 s left"),
        (SILENT, "started"),
        ({"status": "paused", "worker": None}, "started"),
        ({"status": "recovering", "worker": None}, "started"),
        ({"status": "queued", "worker": None}, "started"),
    ],
)
def test_status_shows_a_speed_only_of_what_trains(
    baton: Baton, fake: FakeService, changes: dict[str, Any], shown: str
) -> None:
    fake.jobs["j1"] = job("j1", **changes)
    told = baton("status", "j1").stdout
    assert shown in told
    assert ("images/s" in told) == ("images/s" in shown)
    assert (WORDS in told) == (changes is SILENT)


def test_lists_say_how_long_a_worker_is_silent(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1", **SILENT)
    fake.lists["attempts"] = [attempt(1, "running", 0, silent_seconds=8.0)]
    shown = baton("list").stdout
    assert "running, silent 8 s" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "running, silent 8 s" in baton("status", "j1").stdout.partition("attempt")[2]


def test_in_a_terminal_the_silence_goes_on_counting() -> None:
    moment, screen = [100.0], io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with Watcher(console, clock=lambda: moment[0]) as watcher:
        watcher.show(JobView.model_validate(job("j1", **SILENT)))
        assert WORDS in screen.getvalue()
        moment[0] += 10
        assert watcher._live is not None
        watcher._live.refresh()
        assert "worker worker-1 silent for 18 s; its lease ends in 12 s" in screen.getvalue()
        moment[0] += 60
        watcher._live.refresh()
        assert "silent for 1 min 18 s; its lease has ended: another worker gets the job" in screen.getvalue()


def test_workers_say_since_when_and_why_they_are_refused(baton: Baton, fake: FakeService) -> None:
    fake.lists["workers"] = [
        worker("w1", state="busy", job_id="j" * 26, since="2026-01-02T03:00:00Z"),
        worker("w2", state="refused", refusal="set BATON_STORE to gs://bucket/prefix"),
        worker("w3", state="ended", ended_at="2026-01-02T03:04:00Z"),
        worker("w4", state="resting", rests_until="2126-01-02T03:00:00Z", rests_why="3 crashes (process_died)"),
    ]
    shown = baton("workers").stdout
    assert "w2 gets no work: set BATON_STORE to gs://bucket/prefix" in shown
    assert re.search(r"w4 backs off for \d+ d after 3 crashes \(process_died\): check the device", shown)
    assert [name in shown for name in ("refused", "resting", "ended", "since")] == [True] * 4
