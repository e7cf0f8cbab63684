"""Code bundles at the service: pushed, checked, kept for jobs, read by their attempts, deleted after that."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from baton.domain.code_bundle import BUNDLE_BYTES, bundle_object
from service.db.data_tables import CodeBundle
from service.usecases.code_bundles import GRACE
from tests.service.helpers import ON_BOTH, Api, WorkerHand, assert_problem, bearer
from tests.service.program_jobs import claimed
from tests.support.bundles import bundle, crafted, digest_of
from tests.support.moved_clock import MovedClock

HOUR, DAY = 3_600.0, 86_400.0
TRAIN = bundle({"train.py": b"print(1)\n"})


def put(api: Api, content: bytes = TRAIN, digest: str | None = None, **more: Any) -> httpx.Response:
    return api.http.put(f"/v1/code/{digest or digest_of(content)}", content=content, **more)


def show(api: Api, content: bytes = TRAIN) -> httpx.Response:
    return api.http.get(f"/v1/code/{digest_of(content)}")


def submit(api: Api, content: bytes = TRAIN, name: str = "mine") -> httpx.Response:
    program = {"command": ["python", "train.py"], "code": f"sha256:{digest_of(content)}"}
    return api.http.post("/v1/jobs", json={"name": name, "program": program})


def stored(api: Api) -> set[str]:
    return {blob.name for blob in api.services.store.list("code/")}


def object_of(content: bytes = TRAIN) -> str:
    return bundle_object(digest_of(content))


def fetch(api: Api, hand: WorkerHand, name: str) -> httpx.Response:
    return api.http.get(f"/v1/attempts/{hand.attempt_id}/objects/{name}", headers=hand.headers)


@ON_BOTH
def test_a_push_can_be_repeated_and_is_shown(api: Api) -> None:
    first, again = put(api), put(api)
    assert (first.status_code, again.status_code) == (201, 200)
    shown = show(api).json()
    assert {**shown, "created_at": "", "last_used_at": ""} == {
        "digest": digest_of(TRAIN), "files": 1, "bytes": len(TRAIN), "created_by": "user", "created_at": "",
        "last_used_at": "",
    }  # fmt: skip
    assert api.services.store.get(object_of()) == TRAIN
    kinds = [one["data"] for one in api.http.get("/v1/audit").json()["items"] if one["kind"] == "code_pushed"]
    assert kinds == [{"digest": digest_of(TRAIN)}]


def test_wrong_bytes_and_archives_that_no_worker_would_unpack_are_refused(api: Api) -> None:
    assert_problem(put(api, digest="0" * 64), 422, "wrong-digest")
    problem = assert_problem(put(api, crafted(("../evil.py", b"x"))), 422, "invalid-bundle")
    assert "'../evil.py' is not a plain relative path" in problem["detail"]
    assert_problem(put(api, b"no archive"), 422, "invalid-bundle")
    assert_problem(api.http.put("/v1/code/xyz", content=TRAIN), 422, "invalid-request")
    assert_problem(show(api), 404, "not-found")
    assert stored(api) == set()


def test_a_body_beyond_the_limit_is_refused_and_a_large_one_is_taken_in_pieces(api: Api) -> None:
    digest, chunk = hashlib.sha256(), bytes(1 << 20)

    def chunks() -> Iterator[bytes]:
        for _ in range(BUNDLE_BYTES // len(chunk) + 1):
            yield chunk

    assert_problem(api.http.put(f"/v1/code/{digest.hexdigest()}", content=chunks()), 413, "body-too-large")
    large = bundle({"a.bin": bytes(5 << 20), "b.bin": b"b"})
    assert (put(api, large).status_code, api.services.store.get(object_of(large)) == large) == (201, True)


def test_scopes(api: Api) -> None:
    headers = {scope: bearer(api.token(scope)["token"]) for scope in ("programs", "submit", "data", "read")}
    assert put(api, headers=headers["programs"]).status_code == 201
    for scope in ("submit", "data", "read"):
        assert_problem(put(api, headers=headers[scope]), 403, "forbidden")
    url = f"/v1/code/{digest_of(TRAIN)}"
    assert [api.http.get(url, headers=headers[scope]).status_code for scope in headers] == [200, 403, 403, 200]


@ON_BOTH
def test_a_job_names_only_code_that_is_there(api: Api) -> None:
    (error,) = assert_problem(submit(api), 422, "invalid-spec")["errors"]
    assert (error["field"], "baton submit --code DIR" in error["message"]) == ("program.code", True)
    put(api)
    assert submit(api).status_code == 201


@ON_BOTH
def test_a_bundle_that_no_job_names_is_kept_for_the_submission_that_follows(api: Api, moved: MovedClock) -> None:
    put(api)
    moved.move(DAY - 2 * HOUR)
    api.conduct()
    assert show(api).status_code == 200
    moved.move(HOUR + 60)
    assert_problem(show(api), 404, "not-found")  # so that a client pushes it again before it goes
    assert put(api).status_code == 200
    moved.move(DAY - 2 * HOUR)
    api.conduct()
    assert submit(api).status_code == 201


@ON_BOTH
def test_a_bundle_goes_a_day_after_the_last_job_that_named_it(api: Api, moved: MovedClock) -> None:
    other = bundle({"other.py": b""})
    put(api)
    put(api, other)
    jobs = [submit(api, name=name).json()["id"] for name in ("one", "two")]
    moved.move(5 * DAY)
    api.conduct()
    assert (stored(api), show(api, other).status_code) == ({object_of()}, 404)
    for job_id in jobs:
        assert api.http.delete(f"/v1/jobs/{job_id}", params={"force": True}).status_code in {200, 202, 204}
        api.conduct()
        moved.move(3 * HOUR)
        api.conduct()
        moved.move(DAY - 6 * HOUR)
        api.conduct()
        assert (stored(api), show(api).status_code) == ({object_of()}, 200)
    moved.move(5 * HOUR)
    api.conduct()
    assert (stored(api), show(api).status_code) == (set(), 404)
    with api.services.database.read() as session:
        assert session.query(CodeBundle).count() == 0
    assert put(api).status_code == 201


@ON_BOTH
def test_code_that_is_named_between_look_and_deletion_stays(
    api: Api, moved: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(api)
    moved.move(GRACE.total_seconds() + 60)
    isolation = api.services.reconciler.isolation
    each = type(isolation).each

    def late(self: Any, step: str, due: Any, act: Callable[[str], None]) -> None:
        if step == "expire_code_bundle" and due:
            assert submit(api).status_code == 201
        each(self, step, due, act)

    monkeypatch.setattr(type(isolation), "each", late)
    api.conduct()
    api.conduct()
    assert (stored(api), show(api).status_code) == ({object_of()}, 200)


def test_an_attempt_reads_the_code_of_its_job_and_no_other(api: Api) -> None:
    other = bundle({"other.py": b"secret"})
    put(api)
    put(api, other)
    hand = claimed(api, submit(api).json()["id"])
    classifier = api.running("w2")
    assert fetch(api, hand, object_of()).content == TRAIN
    for holder, name in ((hand, object_of(other)), (classifier, object_of()), (hand, "code/")):
        assert_problem(fetch(api, holder, name), 403, "forbidden")
    written = api.http.put(
        f"/v1/attempts/{hand.attempt_id}/objects/{object_of()}",
        params={"size": 1},
        content=b"x",
        headers={**hand.headers, "Baton-CRC32C": "0" * 8},
    )
    assert_problem(written, 403, "forbidden")
    hand.finish("failed", reason="code_refused", message="no")
    assert_problem(fetch(api, hand, object_of()), 409, "lease-lost")


def test_the_limit_of_the_service(start: Callable[..., Api]) -> None:
    api = start(code_bytes=2 * len(TRAIN))
    assert put(api).status_code == 201
    assert put(api, bundle({"b.py": b""})).status_code == 201
    problem = assert_problem(put(api, bundle({"c.py": b""})), 507, "code-quota")
    assert "BATON_CODE_BYTES" in problem["detail"]
    assert put(api).status_code == 200


def test_an_archive_without_a_row_is_deleted_after_a_day(api: Api, moved: MovedClock) -> None:
    api.services.store.put(object_of(), TRAIN)
    api.conduct()
    assert stored(api) == {object_of()}
    moved.move(DAY + HOUR)
    api.conduct()
    assert stored(api) == set()
