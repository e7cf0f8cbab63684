"""What attempts use and cost: the sums over attempts, jobs, owners, projects and months agree exactly."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from baton.domain.prices import parse_prices
from service.db.unit_of_work import Unit
from service.principal import BOOTSTRAP
from service.usecases import deletion, usage
from tests.service.clock import MovedClock
from tests.service.helpers import ON_BOTH, SPEC, Api, WorkerHand, assert_problem, worker_info
from tests.service.of_projects import submitted
from tests.service.two_projects import member

pytestmark = ON_BOTH

H100, T4 = "NVIDIA H100 80GB HBM3", "Tesla T4"
DEVICES = (H100, f"{T4}, {T4}", "cpu", "TPU v5")
PRICES = ("NVIDIA H100*=2.50,*T4=0.35", "NVIDIA H100*=3.333333,*T4=0.29,cpu=0.017", "*=1")
BY = ("project", "owner", "job", "device", "month", "day")
RETRY = {"max_failures": 1000, "max_attempts_without_progress": 1000, "backoff": 0}
ENDS = ("preempted", "failed", "paused", "cancelled", "succeeded")
COSTS = ("cost", "trained_cost", "redone_cost")


def claim(api: Api, job_id: str, device: str = H100) -> WorkerHand:
    hand = WorkerHand(api, api.attempt(job_id)["id"], job_id)
    worker = {**worker_info(), "device": device, "protocol": 6, "spec_version": 6}
    answer = api.http.post(f"/v1/attempts/{hand.attempt_id}/claim", json={"claim_id": hand.claim_id, "worker": worker})
    assert answer.status_code == 200, answer.text
    hand.grant = answer.json()
    return hand


def report(api: Api, by: str, **more: Any) -> dict[str, Any]:
    answer = api.http.get("/v1/usage", params={"by": by, "since": "2000-01-01", "limit": 1000, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def money(items: list[dict[str, Any]], name: str = "cost") -> Decimal:
    return sum((Decimal(one[name] or 0) for one in items), Decimal(0))


class Storm:
    """Jobs of three projects. A seed draws what happens to them, and prices change."""

    def __init__(self, api: Api, clock: MovedClock, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self._api, self._clock, self._draw = api, clock, random.Random(seed)
        self.prices = parse_prices(PRICES[0])
        monkeypatch.setattr(usage, "prices_of", lambda _session: self.prices)
        self.owner_of: dict[str, tuple[str, str]] = {}
        self.gone: dict[str, dict[str, Any]] = {}
        self._held: dict[str, WorkerHand] = {}
        for number in range(9):
            self._submit(f"p{number % 3}", f"u{number % 4}")

    def _submit(self, project: str, owner: str) -> None:
        (job_id,) = submitted(self._api, project, owner=owner, retry=RETRY)
        self.owner_of[job_id] = (project, owner)

    def go_on(self) -> None:
        """Advance the clock by up to two days, then let something happen to a job."""
        self._clock.forward(round(self._draw.uniform(0.001, 2 * 86_400), 6))
        job_id = self._draw.choice(sorted(set(self.owner_of) - set(self.gone)))
        if self._draw.random() < 0.1:
            self.prices = parse_prices(self._draw.choice(PRICES))
        if job_id in self._held:
            self._draw.choice([self._beat, self._beat, self._save, self._end, self._end, self._spoil])(job_id)
        elif self._draw.random() < 0.07 and len(self.owner_of) < 15:
            self._delete(job_id)
        else:
            self._start(job_id)

    def _start(self, job_id: str) -> None:
        again = {"paused": "resume", "cancelled": "retry", "failed": "retry", "succeeded": None}
        status = self._api.job(job_id)["status"]
        if status in again:
            if again[status] is not None:
                assert self._api.ask(job_id, str(again[status])).status_code == 202
            return
        self._held[job_id] = claim(self._api, job_id, self._draw.choice(DEVICES))

    def _beat(self, job_id: str) -> None:
        told = {name: self._draw.uniform(0, 50_000) for name in ("startup", "training", "validation")}
        assert self._held[job_id].beat("training", seconds=told).status_code == 200

    def _save(self, job_id: str) -> None:
        hand = self._held[job_id]
        trained = self._draw.uniform(0, 20_000)
        assert hand.checkpoint(self._draw.randrange(10**6), trained_seconds=trained).status_code == 201

    def _spoil(self, job_id: str) -> None:
        there = [row for row in self._api.items(job_id, "checkpoints") if row["state"] == "committed"]
        if there:
            bad = self._draw.choice(there)["prefix"]
            assert self._held[job_id].post("quarantine", prefix=bad, message="bad").status_code == 200

    def _end(self, job_id: str) -> None:
        hand, how = self._held.pop(job_id), self._draw.choice(ENDS)
        order = {"paused": "pause", "cancelled": "cancel"}.get(how)
        if order is not None:
            self._api.ask(job_id, order)
        more = {"reason": "process_died"} if how == "failed" else {}
        assert hand.finish(how, seconds={"training": self._draw.uniform(0, 90_000)}, **more).status_code == 200

    def _delete(self, job_id: str) -> None:
        """Delete the rows of a job that is not held, as the reconciler does at the end of a deletion."""
        view = self._api.job(job_id)
        self.gone[job_id] = {**view, "attempts_of_it": self._api.items(job_id, "attempts")}
        with self._api.services.database.write() as session:
            deletion.order_deletion(Unit(session), job_id, "user", force=True)

        def write(act: Callable[[Unit], bool]) -> bool:
            with self._api.services.database.write() as session:
                return act(Unit(session))

        deletion.remove_rows(write, [job_id], BOOTSTRAP)
        self._submit(*self.owner_of[job_id])

    def jobs(self) -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
        """Each job, also the deleted ones, with its attempts. The list is read: a single job may be a second old."""
        there = {one["id"]: one for one in self._api.http.get("/v1/jobs?limit=200").json()["items"]}
        for job_id in self.owner_of:
            if job_id in self.gone:
                yield job_id, self.gone[job_id], self.gone[job_id]["attempts_of_it"]
            else:
                yield job_id, there[job_id], self._api.items(job_id, "attempts")


def check(api: Api, storm: Storm, now: datetime) -> Decimal:
    """All sums agree. Returns the cost of everything."""
    views = {by: report(api, by, until=f"{now:%Y-%m-%d}") for by in BY}
    totals = [view["total"] for view in views.values()]
    assert all(one == totals[0] for one in totals)
    for view in views.values():
        assert view["left_out"] == 0
        assert {name: money(view["items"], name) for name in COSTS} == {
            name: Decimal(view["total"][name] or 0) for name in COSTS
        }
        assert sum(one["gpu_hours"] for one in view["items"]) == pytest.approx(view["total"]["gpu_hours"], abs=1e-4)
    of_job = {one["key"]: Decimal(one["cost"] or 0) for one in views["job"]["items"]}
    expected: dict[str, Counter[str]] = {"project": Counter(), "owner": Counter()}
    for job_id, job, attempts in storm.jobs():
        assert money(attempts) == Decimal(job["cost"]) == of_job.get(job_id, Decimal(0))
        for by, name in zip(("project", "owner"), storm.owner_of[job_id], strict=True):
            expected[by][name] += Decimal(job["cost"])  # type: ignore[assignment]
    for by, sums in expected.items():
        found = {one["key"]: Decimal(one["cost"] or 0) for one in views[by]["items"]}
        assert found == {name: value for name, value in sums.items() if value or name in found}
    days: Counter[str] = Counter()
    for one in views["day"]["items"]:
        days[one["key"][:7]] += Decimal(one["cost"] or 0)  # type: ignore[assignment]
    assert days == {one["key"]: Decimal(one["cost"] or 0) for one in views["month"]["items"]}
    return Decimal(totals[0]["cost"] or 0)


@pytest.mark.parametrize("seed", [1, 2])
def test_in_a_storm_of_months_all_sums_agree(
    api: Api, clock: MovedClock, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    storm = Storm(api, clock, seed, monkeypatch)
    before = Decimal(0)
    for step in range(1, 121):
        storm.go_on()
        if step % 20 == 0:
            now = check(api, storm, clock.now)
            assert now >= before  # neither a new price nor a deletion changes what was used
            before = now
    assert len(report(api, "month", until=f"{clock.now:%Y-%m-%d}")["items"]) > 3
    assert storm.gone
    assert before > 0


# --- single facts ---


def test_the_price_at_the_claim_counts(api: Api, clock: MovedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = parse_prices("*T4=0.35")
    monkeypatch.setattr(usage, "prices_of", lambda _session: prices)
    job_id = api.submit()["id"]
    hand = claim(api, job_id, f"{T4}, {T4}")
    clock.forward(3600)
    prices = parse_prices("*T4=9")
    hand.finish("preempted", seconds={"training": 3000.0})
    second = claim(api, job_id, "TPU v5")
    claimed = api.items(job_id, "events")[-1]["message"]
    assert claimed.endswith("its device TPU v5 has no price, so the attempt has no cost")
    clock.forward(1800)
    first, live = api.items(job_id, "attempts")
    assert (first["cost"], first["gpu_hours"], first["device"]) == ("0.700000", 2.0, f"{T4}, {T4}")
    assert (live["cost"], live["gpu_hours"]) == (None, 0.5)
    job = api.http.get("/v1/jobs").json()["items"][0]
    assert (job["cost"], job["gpu_hours"]) == ("0.700000", 2.5)
    (item,) = report(api, "job", until="2100-01-01")["items"]
    assert item == {
        "key": job_id, "name": "small", "hours": 1.5, "trained_hours": 0.0, "redone_hours": 3000 / 3600,
        "gpu_hours": 2.5, "unpriced_hours": 0.5, "cost": "0.700000", "trained_cost": "0.000000",
        "redone_cost": "0.583333",
    } | {"redone_hours": 0.833333}  # fmt: skip
    second.finish("succeeded")


@pytest.mark.parametrize("day", ["0", "1700000000", "2026-13-01", "0001-01-01", "yesterday"])
def test_a_day_is_written_as_one(api: Api, day: str) -> None:
    problem = assert_problem(api.http.get("/v1/usage", params={"since": day}), 422, "invalid-request")
    assert "since" in {one["field"] for one in problem["errors"]}


def test_without_prices_only_hours_are_shown(api: Api, clock: MovedClock) -> None:
    hand = claim(api, api.submit()["id"])
    clock.forward(3600)
    hand.finish("succeeded")
    job = api.http.get("/v1/jobs").json()["items"][0]
    assert (job["gpu_hours"], job["cost"], job["currency"]) == (1.0, None, None)
    total = report(api, "owner", until="2100-01-01")["total"]
    assert (total["gpu_hours"], total["cost"], total["unpriced_hours"]) == (1.0, None, 1.0)


def test_only_the_most_expensive_are_shown_and_the_total_has_all(start: Callable[..., Api], clock: MovedClock) -> None:
    api = start(prices=parse_prices("*=1"), currency="EUR")
    for hours in (1, 3, 2):
        hand = claim(api, api.submit(name=f"h{hours}")["id"])
        clock.forward(3600 * hours)
        hand.finish("succeeded")
    claim(api, api.submit(name="live")["id"])
    clock.forward(600)
    view = report(api, "job", until="2100-01-01", limit=2)
    assert [(one["name"], one["cost"]) for one in view["items"]] == [("h3", "3.000000"), ("h2", "2.000000")]
    assert (view["left_out"], view["total"]["cost"], view["currency"]) == (2, "6.166667", "EUR")
    day = f"{clock.begun:%Y-%m-%d}"
    assert (view := report(api, "day", since="2000-01-01", until="2000-02-01"))["items"] == []
    assert view["total"]["hours"] == 0
    assert report(api, "month", until=day)["items"][0]["key"] == day[:7]
    assert_problem(api.http.get("/v1/usage?by=colour"), 422, "invalid-request")


def test_a_project_sees_what_it_used_alone(start: Callable[..., Api], clock: MovedClock) -> None:
    api = start(prices=parse_prices("*=1"))
    for project, hours in (("aster", 2), ("birch", 1)):
        assert api.http.put(f"/v1/projects/{project}", json={}).status_code == 201
        hand = claim(api, submitted(api, project, owner=f"{project}-user")[0])
        clock.forward(3600 * hours)
        hand.finish("succeeded")
        submitted(api, project)
    us = member(api, "birch", "read")
    for by in BY:
        found = report(us, by, until="2100-01-01")
        assert found["total"]["cost"] == "1.000000"
        assert not any("aster" in one["key"] for one in found["items"])
    assert report(us, "day", until="2100-01-01", project="birch")["total"]["cost"] == "1.000000"
    refused = us.http.get("/v1/usage?project=aster"), us.http.get("/v1/usage?project=no-such")
    assert [one.status_code for one in refused] == [404, 404]
    assert report(api, "day", until="2100-01-01", project="aster")["total"]["cost"] == "2.000000"
    assert report(api, "day", until="2100-01-01")["total"]["cost"] == "3.000000"
    (waiting,) = us.http.get("/v1/queue").json()["items"]
    assert (waiting["project"], waiting["position"], waiting["recent_hours"]) == ("birch", 1, None)


# --- budgets ---


def priced(start: Callable[..., Api]) -> Api:
    return start(prices=parse_prices("NVIDIA H100*=3600"))


def test_a_budget_of_money_pauses_the_job(start: Callable[..., Api], clock: MovedClock) -> None:
    api = priced(start)
    job_id = api.submit(limits={"budget": {"money": 100, "gpu_hours": 1}})["id"]
    hand = claim(api, job_id)
    assert hand.grant["runtime_left"] == 100  # an hour costs 3600
    clock.forward(40)
    hand.finish("preempted")
    hand = claim(api, job_id, f"{H100}, {H100}")
    assert hand.grant["runtime_left"] == 30
    clock.forward(30)
    hand.finish("failed", reason="max_runtime", message="stopped")
    job = api.http.get("/v1/jobs").json()["items"][0]
    assert (job["status"], job["reason"], job["cost"]) == ("paused", "budget_reached", "100.000000")
    assert job["message"] == "the job cost 100.00, and its budget is 100.00 (limits.budget.money)"
    refused = assert_problem(api.ask(job_id, "resume"), 409, "conflict")["detail"]
    assert "raise limits.budget.money first" in refused
    assert api.http.patch(f"/v1/jobs/{job_id}", json={"limits": {"budget": {"money": 150}}}).status_code == 200
    assert api.ask(job_id, "resume").status_code == 202
    assert claim(api, job_id, "cpu").grant["runtime_left"] is None  # it has no price and no GPU


def test_a_retry_does_not_start_a_budget_again(start: Callable[..., Api], clock: MovedClock) -> None:
    api = priced(start)
    job_id = api.submit(limits={"budget": {"gpu_hours": 1}})["id"]
    hand = claim(api, job_id)
    clock.forward(3600)
    hand.finish("failed", reason="bad_data")
    assert api.job(job_id)["status"] == "failed"
    assert "limits.budget.gpu_hours" in assert_problem(api.ask(job_id, "retry"), 409, "conflict")["detail"]
    assert api.http.patch(f"/v1/jobs/{job_id}", json={"limits": {"budget": {"gpu_hours": 1.5}}}).status_code == 200
    assert api.ask(job_id, "retry").status_code == 202
    assert claim(api, job_id).grant["runtime_left"] == 1800


def test_a_budget_needs_prices_and_a_number(api: Api, start: Callable[..., Api]) -> None:
    def refused(budget: dict[str, Any]) -> dict[str, Any]:
        answer = api.http.post("/v1/jobs", json={**SPEC, "limits": {"budget": budget}})
        return dict(assert_problem(answer, 422, "invalid-spec")["errors"][0])

    assert refused({"money": 5})["message"].startswith("the service has no prices (BATON_PRICES)")
    preview = api.http.post("/v1/plans:preview", json={**SPEC, "limits": {"budget": {"money": 5}}})
    assert assert_problem(preview, 422, "invalid-spec")["errors"][0]["field"] == "limits.budget.money"
    assert refused({})["message"] == "needs gpu_hours, money, or both"
    assert refused({"gpu_hours": 0})["message"] == "must be greater than 0"
    job = api.submit()["id"]
    patch = api.http.patch(f"/v1/jobs/{job}", json={"limits": {"budget": {"money": 5}}})
    assert assert_problem(patch, 422, "invalid-spec")["errors"][0]["field"] == "limits.budget.money"
    assert priced(start).submit(limits={"budget": {"money": 5}})["spec"]["limits"]["budget"]["money"] == 5
