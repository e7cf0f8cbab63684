"""`baton usage`, `baton queue`, and what a job used in `baton status`."""

from __future__ import annotations

import json
from typing import Any

from tests.client.command_line import Baton
from tests.client.fake_service import NOW, FakeService, job


def item(key: str, hours: float, cost: str | None = None, **changes: Any) -> dict[str, Any]:
    parts = {"trained_hours": hours * 0.8, "redone_hours": hours * 0.05, "gpu_hours": 2 * hours, "unpriced_hours": 0.0}
    return {"key": key, "hours": hours, **parts, "cost": cost, "trained_cost": cost, "redone_cost": cost, **changes}


def report(*items: dict[str, Any], **changes: Any) -> dict[str, Any]:
    base = {"by": "project", "since": "2026-11-02", "until": "2026-12-01", "currency": "EUR", "items": list(items)}
    return {**base, "left_out": 0, "total": items[-1], **changes}


def waits(position: int, project: str = "vision", **changes: Any) -> dict[str, Any]:
    base = {
        "position": position, "job_id": f"{position:032x}", "job_name": "net", "project": project, "owner": "ada",
        "queue": "default", "priority": "normal", "attempt": 1, "ran_before": False, "since": NOW,
        "waiting_for": "a worker of queue default", "recent_hours": 1.5,
    }  # fmt: skip
    return {**base, **changes}


def test_usage_is_a_table_with_bars_and_a_total(baton: Baton, fake: FakeService) -> None:
    fake.answers["/v1/usage"] = report(item("vision", 30, "75.004999"), item("", 10, None), total=item("", 40, "75.1"))
    done = baton("usage", "--since", "2026-11-02", "--project", "vision")
    assert [line.split() for line in done.stdout.splitlines()[2:] if line.strip(" ─")] == [
        ["vision", "30.0", "60.0", "80%", "5%", "75.00", "█" * 16],
        ["(unknown)", "10.0", "20.0", "80%", "5%", "-", "█" * 2],
        ["total", "40.0", "80.0", "80%", "5%", "75.10"],
    ]
    assert "EUR" in done.stdout.splitlines()[0]
    assert fake.requests[-1][1] == "/v1/usage?by=project&since=2026-11-02&project=vision&limit=100"
    assert json.loads(baton("usage", "--by", "month", "--json").stdout)["currency"] == "EUR"
    assert "by=month" in fake.requests[-1][1]


def test_usage_without_prices_shows_no_costs(baton: Baton, fake: FakeService) -> None:
    fake.answers["/v1/usage"] = report(item("vision", 3), currency=None, left_out=4)
    done = baton("usage")
    assert "cost" not in done.stdout
    assert "4 more are in the total" in done.stderr
    fake.answers["/v1/usage"] = report(item("", 0), items=[])
    assert baton("usage").stderr == "nothing was used from 2026-11-02 to 2026-12-01\n"


def test_the_queue_is_a_table(baton: Baton, fake: FakeService) -> None:
    items = [waits(1, ran_before=True), waits(2, "speech", recent_hours=0.0)]
    fake.answers["/v1/queue"] = {"items": items, "more": True}
    done = baton("queue", "--queue", "gpu")
    assert "vision, 1.5 h" in done.stdout
    assert "normal, again" in done.stdout
    assert done.stderr == "there are more: see them with --limit\n"
    assert fake.requests[-1][1] == "/v1/queue?queue=gpu&limit=50"
    assert json.loads(baton("queue", "--json").stdout)["items"][1]["position"] == 2
    fake.answers["/v1/queue"] = {"items": [waits(1, recent_hours=None)], "more": False}
    assert "project" not in baton("queue").stdout


def test_the_status_shows_what_was_used_and_how_to_go_on(baton: Baton, fake: FakeService) -> None:
    used = {"gpu_hours": 4.0, "cost": "9.995", "currency": "EUR"}
    fake.jobs["j1"] = job("j1", status="paused", reason="budget_reached", **used)
    shown = baton("status", "j1").stdout
    assert "4.00 GPU hours, 10.00 EUR" in shown
    assert "then baton resume j1" in shown
