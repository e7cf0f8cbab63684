"""A job that is a program: submission, an attempt through the worker's routes, and what users see of it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import yaml

from baton.domain.data_manifest import manifest_object
from baton.domain.extensions import ONLY_PROGRAMS, PROGRAMS
from baton.domain.spec import CommonSpec, JobSpec
from tests.service.helpers import ON_BOTH, Api, assert_problem, bearer, spec, worker_info
from tests.service.program_jobs import NEW, at, claim, claimed, program, worker
from tests.service.pushes import Push
from tests.service.starting_points import saved, start_from


@ON_BOTH
def test_a_program_goes_from_submission_to_success(api: Api) -> None:
    job = api.submit(program(labels={"team": "speech"}))
    assert job["spec"]["program"]["command"] == ["python", "train.py"]
    assert job["spec"]["params"] == {"lr": 3e-4, "layers": [64, 64]}
    assert "network" not in job["spec"]
    hand = claimed(api, job["id"])
    assert hand.grant["spec"]["monitor"] == {"metric": "val_loss", "mode": "min"}
    assert not {"queue", "retry"} & set(hand.grant["spec"])
    assert hand.beat("training", progress=at(10)).json()["directive"] == "continue"
    shown = api.job(job["id"])
    assert (shown["status"], shown["progress"]["global_step"], shown["progress"]["fraction"]) == ("running", 10, 0.0)
    assert hand.epoch(1, 1, 1).status_code == 200
    assert saved(hand, (0, 0, 10, 10), "latest").startswith(f"jobs/{job['id']}/")
    hand.beat("training", progress=at(15, epoch=2, epochs=4, total_steps=20, eta_seconds=7.0))
    shown = api.job(job["id"])
    assert (shown["progress"]["fraction"], shown["progress"]["eta_seconds"]) == (0.75, 7.0)
    assert shown["checkpoint"]["global_step"] == 10
    assert shown["metrics"]["val_loss"] == 1.1
    assert hand.finish("succeeded", results={"test_accuracy": 0.5}).status_code == 200
    ended = api.job(job["id"])
    assert (ended["status"], ended["results"]) == ("succeeded", {"test_accuracy": 0.5})
    assert api.items(job["id"], "stages") == []
    assert [row["epoch"] for row in api.items(job["id"], "history")] == [1]
    assert "stage_started" not in api.kinds(job["id"])


def test_the_next_attempt_gets_the_newest_checkpoint(api: Api) -> None:
    job = api.submit(program())
    hand = claimed(api, job["id"])
    hand.beat("training", progress=at(40))
    for step in (10, 20):
        saved(hand, (0, 0, step, step), "latest")
    hand.finish("preempted", message="a notice")
    again = claimed(api, job["id"])
    positions = [one["position"] for one in again.grant["checkpoints"]]
    assert positions[0] == {"stage": 0, "epoch": 0, "step": 20, "global_step": 20}
    assert api.job(job["id"])["preemptions"] == 1


def test_the_spec_may_be_yaml(api: Api) -> None:
    body = yaml.safe_dump(program())
    answer = api.http.post("/v1/jobs", content=body, headers={"content-type": "application/yaml"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["spec"]["params"]["lr"] == 3e-4


def test_a_wrong_field_is_named_with_its_path(api: Api) -> None:
    body = program(program={"command": ["python", 5], "environment": {"BATON_TOKEN": "x"}}, seed=3)
    problem = assert_problem(api.http.post("/v1/jobs", json=body), 422, "invalid-spec")
    assert [one["field"] for one in problem["errors"]] == ["seed"]
    del body["seed"]
    problem = assert_problem(api.http.post("/v1/jobs", json=body), 422, "invalid-spec")
    fields = [one["field"] for one in problem["errors"]]
    assert fields == ["program.command.1", "program.environment.BATON_TOKEN"]


def test_a_preview_shows_what_would_run(api: Api) -> None:
    view = api.http.post("/v1/plans:preview", json=program()).json()
    assert (view["name"], view["stages"], view["totals"]) == ("own", [], None)
    assert view["spec"]["program"]["command"] == ["python", "train.py"]
    answer = api.http.post("/v1/plans:preview", json=program(data={"train": "photos"}))
    problem = assert_problem(answer, 422, "invalid-spec")
    assert problem["errors"][0]["field"] == "data.train"


def test_only_a_worker_with_programs_gets_it_and_the_job_says_so(api: Api) -> None:
    first, second = api.submit(program()), api.submit(program())
    assert "with programs (`baton worker --programs`)" in api.job(first["id"])["waiting_for"]
    assert_problem(claim(api, first["id"], {**worker_info("plain"), **NEW})[1], 409, "not-installed")
    assert_problem(claim(api, second["id"], worker("old", spec_version=5))[1], 409, "worker-too-old")
    offers = {}
    third = api.submit(program())
    for name, asker in (("plain", {**worker_info("plain"), **NEW}), ("new", worker())):
        body = {"worker": asker, "queues": ["default"], "wait_seconds": 0}
        offers[name] = api.http.post("/v1/attempts:next", json=body).json()["attempt_id"]
    assert offers == {"plain": None, "new": api.attempt(third["id"])["id"]}


def test_a_worker_without_tensorflow_gets_no_classifier_and_the_job_says_so(api: Api) -> None:
    light = worker("light", extensions=[PROGRAMS, ONLY_PROGRAMS])
    assert api.http.post("/v1/workers", json={**light, "queues": ["default"], "busy": False}).status_code == 204
    job = api.submit()
    assert "none for queue default with TensorFlow" in api.job(job["id"])["waiting_for"]
    request = {"worker": light, "queues": ["default"], "wait_seconds": 0}
    assert api.http.post("/v1/attempts:next", json=request).json()["attempt_id"] is None
    assert assert_problem(claim(api, job["id"], light)[1], 409, "not-installed")["detail"].endswith(": TensorFlow")
    demand = "/v1/queues/default?extension=program/any&extension=program/only"
    assert api.http.get(demand).json()["waiting"] == 0
    own = api.submit(program())
    assert api.http.post("/v1/attempts:next", json=request).json()["attempt_id"] == api.attempt(own["id"])["id"]
    assert api.http.get(demand).json()["waiting"] == 1
    assert claim(api, own["id"], light)[1].status_code == 200


def test_that_a_worker_runs_programs_is_no_name_for_a_spec(api: Api) -> None:
    api.http.post("/v1/workers", json={**worker(), "queues": ["default"], "busy": False})
    assert api.http.get("/v1/workers").json()["items"][0]["extensions"] == ["program/any"]
    assert api.http.get("/v1/extensions").json()["items"] == []


class TestData:
    def test_a_program_pins_all_its_data_and_an_attempt_may_read_it(self, api: Api) -> None:
        photos, words, foreign = Push(), Push({"a.txt": b"a"}), Push({"b.txt": b"b"})
        for name, push in (("photos", photos), ("words", words), ("foreign", foreign)):
            push.push(api, name)
        job = api.submit(program(data={"train": "photos", "text": "words"}))
        assert job["spec"]["data"] == {
            "train": f"photos@sha256:{photos.digest}", "text": f"words@sha256:{words.digest}",
        }  # fmt: skip
        hand = claimed(api, job["id"])
        hand.beat("training")
        assert [_read(hand, manifest_object(push.digest)) for push in (photos, words, foreign)] == [200, 200, 403]
        assert [_read(hand, f"data/packs/{name}") for name in words.packs] == [200]

    def test_data_that_an_unfinished_program_needs_is_not_deleted(self, api: Api) -> None:
        for name in ("photos", "words"):
            Push({f"{name}.txt": b"a"}).push(api, name)
        job = api.submit(program(data={"train": "photos", "text": "words"}))
        refused = assert_problem(api.http.delete("/v1/data/words"), 409, "data-in-use")
        assert "own" in refused["detail"]
        api.ask(job["id"], "cancel")
        assert api.http.delete("/v1/data/words").status_code == 200
        assert "words" in assert_problem(api.ask(job["id"], "retry"), 409, "conflict")["detail"]

    def test_unknown_data_is_named_by_its_field(self, api: Api) -> None:
        Push().push(api, "photos")
        answer = api.http.post("/v1/jobs", json=program(data={"train": "photos", "text": "photo"}))
        errors = assert_problem(answer, 422, "invalid-spec")["errors"]
        assert [one["field"] for one in errors] == ["data.text"]
        assert "did you mean 'photos'" in errors[0]["message"]


def _read(hand: Any, name: str) -> int:
    url = f"/v1/attempts/{hand.attempt_id}/objects/{name}"
    status: int = hand.api.http.get(url, headers=hand.headers).status_code
    return status


class TestOtherJobs:
    def test_a_clone_changes_parameters_and_environment(self, api: Api) -> None:
        first = api.submit(program())
        changes = {"params.lr": 0.1, "params.deep.x": 1, "program.environment.SEED": "7", "program.command.1": "b.py"}
        second = api.submit({"clone": first["id"], "set": changes})
        assert second["spec"]["params"] == {"lr": 0.1, "layers": [64, 64], "deep": {"x": 1}}
        assert second["spec"]["program"]["environment"] == {"OMP_NUM_THREADS": "2", "SEED": "7"}
        assert second["spec"]["program"]["command"] == ["python", "b.py"]
        refused = api.http.post("/v1/jobs", json={"clone": first["id"], "set": {"program.comand": ["x"]}})
        errors = assert_problem(refused, 422, "invalid-spec")["errors"]
        assert (errors[0]["field"], "program.command" in errors[0]["message"]) == ("program.comand", True)

    def test_a_program_goes_on_at_the_position_of_another_whatever_changed(self, api: Api) -> None:
        hand = claimed(api, api.submit(program())["id"])
        hand.beat("training")
        saved(hand, (0, 0, 20, 20), "latest")
        job = start_from(api, hand.job_id, set={"params.lr": 1.0}, name="second")
        api.conduct()
        grant = claimed(api, job["id"]).grant
        assert [one["position"]["global_step"] for one in grant["checkpoints"]] == [20]
        start = grant["start"]
        assert (start["keeps_position"], start["keeps_schedule"], start["why"]) == (True, True, "")

    def test_a_program_does_not_start_from_a_classifier(self, api: Api) -> None:
        hand = api.running()
        saved(hand, (0, 0, 5, 5), "latest")
        of_classifiers = dict.fromkeys(JobSpec.model_fields.keys() - CommonSpec.model_fields.keys())
        body = {"from": {"job": hand.job_id}, "set": {**of_classifiers, "program.command": ["python", "x.py"]}}
        errors = assert_problem(api.http.post("/v1/jobs", json=body), 422, "invalid-spec")["errors"]
        assert [one["field"] for one in errors] == ["program"]

    def test_a_patch_changes_its_limits_but_not_what_it_runs(self, api: Api) -> None:
        job = api.submit(program())
        changed = api.http.patch(f"/v1/jobs/{job['id']}", json={"limits": {"stall": "5m"}, "labels": {"a": "b"}})
        assert changed.status_code == 200, changed.text
        assert (changed.json()["spec"]["limits"]["stall"], changed.json()["labels"]) == (300.0, {"a": "b"})
        assert changed.json()["spec"]["params"] == job["spec"]["params"]
        refused = api.http.patch(f"/v1/jobs/{job['id']}", json={"params": {"lr": 1}})
        errors = assert_problem(refused, 422, "invalid-spec")["errors"]
        assert "baton clone JOB --set params=..." in errors[0]["message"]

    def test_an_ended_program_is_deleted_with_its_rows(self, api: Api) -> None:
        Push().push(api, "photos")
        job = api.submit(program(data={"train": "photos"}))
        api.ask(job["id"], "cancel")
        assert api.http.delete(f"/v1/jobs/{job['id']}").status_code in (202, 204)
        assert api.http.get(f"/v1/jobs/{job['id']}").status_code == 404


class TestRights:
    """A program is code: a token needs the scope `programs` for each call that starts one."""

    @pytest.fixture
    def user(self, api: Api) -> dict[str, str]:
        return bearer(api.token("read", "submit")["token"])

    @pytest.fixture
    def owner(self, api: Api) -> dict[str, str]:
        return bearer(api.token("read", "submit", "programs")["token"])

    def test_a_submission_needs_it(self, api: Api, user: dict[str, str], owner: dict[str, str]) -> None:
        refused = api.http.post("/v1/jobs", json=program(), headers=user)
        assert "the scope 'programs'" in assert_problem(refused, 403, "forbidden")["detail"]
        assert 'scope="programs"' in refused.headers["www-authenticate"]
        assert api.http.get("/v1/jobs").json()["items"] == []
        assert api.http.post("/v1/jobs", json=program(), headers=owner).status_code == 201
        assert api.http.post("/v1/jobs", json=spec(), headers=user).status_code == 201

    def test_a_clone_and_a_continuation_need_it(self, api: Api, user: dict[str, str]) -> None:
        hand = claimed(api, api.submit(program())["id"])
        hand.beat("training")
        saved(hand, (0, 0, 20, 20), "latest")
        for body in ({"clone": hand.job_id}, {"from": {"job": hand.job_id}}):
            assert_problem(api.http.post("/v1/jobs", json=body, headers=user), 403, "forbidden")

    def test_resume_and_retry_need_it_and_pause_and_cancel_do_not(
        self, api: Api, user: dict[str, str], owner: dict[str, str]
    ) -> None:
        job = api.submit(program())["id"]

        def ask(action: str, headers: dict[str, str]) -> httpx.Response:
            return api.http.post(f"/v1/jobs/{job}/{action}", headers=headers)

        assert ask("pause", user).status_code == 202
        assert_problem(ask("resume", user), 403, "forbidden")
        assert ask("resume", owner).status_code == 202
        assert ask("cancel", user).status_code == 202
        assert_problem(ask("retry", user), 403, "forbidden")
        assert ask("retry", owner).status_code == 202

    def test_an_action_on_many_jobs_skips_the_programs(self, api: Api, user: dict[str, str]) -> None:
        ids = [api.submit(program())["id"], api.submit()["id"]]
        for job in ids:
            api.ask(job, "cancel")
        body = {"action": "retry", "ids": ids}
        answer = api.http.post("/v1/jobs:bulk", json=body, headers=user).json()
        assert (answer["done"], answer["skipped"]) == (1, 1)
        assert "the scope 'programs'" in answer["reasons"][0]["why"]
        assert [api.job(job)["status"] for job in ids] == ["cancelled", "queued"]
