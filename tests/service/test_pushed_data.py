"""Pushed data at the service: what is sent, published, listed, pinned by jobs, and deleted."""

from __future__ import annotations

from collections.abc import Callable

from baton.domain.data_manifest import PACK_BYTES, DataManifest, pack_object
from service.usecases.pinned_data import hold, pins
from tests.service.helpers import ON_BOTH, Api, WorkerHand, assert_problem, bearer
from tests.service.pushes import PHOTOS, Push, put, sha256, submit
from tests.support.moved_clock import MovedClock


@ON_BOTH
def test_a_push_sends_what_is_missing_and_a_second_one_nothing(api: Api) -> None:
    push = Push()
    assert push.missing(api) == list(push.packs)
    view = push.push(api)
    assert {**view, "created_at": "", "last_used_at": ""} == {
        "name": "photos", "digest": push.digest, "kind": "folder", "files": 2, "bytes": 6, "created_at": "",
        "created_by": "user", "last_used_at": "", "project": "default",
    }  # fmt: skip
    assert push.missing(api) == []
    assert push.publish(api).status_code == 200
    assert [one["digest"] for one in api.http.get("/v1/data/photos").json()["items"]] == [push.digest]
    manifest = api.http.get(f"/v1/data/photos/{push.digest}/manifest").content
    assert DataManifest.decode(manifest) == push.manifest
    for digest, content in push.packs.items():
        answer = api.http.get(f"/v1/packs/{digest}")
        assert (answer.content, answer.headers["content-length"]) == (content, str(len(content)))
    entries = [one for one in api.http.get("/v1/audit").json()["items"] if one["kind"] == "data_pushed"]
    assert [one["data"] for one in entries] == [{"name": "photos", "digest": push.digest}]


def test_a_pack_whose_bytes_are_wrong_or_too_many_is_refused(api: Api) -> None:
    assert_problem(put(api, sha256(b"cat"), b"dog"), 422, "wrong-digest")
    assert_problem(put(api, sha256(b"x"), bytes(PACK_BYTES + 1)), 413, "body-too-large")
    assert put(api, sha256(bytes(PACK_BYTES)), bytes(PACK_BYTES)).status_code == 204
    assert [blob.name for blob in api.services.store.list("data/")] == [pack_object(sha256(bytes(PACK_BYTES)))]


def test_a_manifest_is_published_only_with_its_own_digest_and_all_packs(api: Api) -> None:
    push = Push()
    problem = assert_problem(push.publish(api), 409, "packs-missing")
    assert [one["field"] for one in problem["errors"]] == list(push.packs)
    push.send(api)
    url, query = f"/v1/manifests/{'0' * 64}", {"name": "photos"}
    assert_problem(api.http.put(url, params=query, content=push.manifest.encode()), 422, "wrong-digest")
    assert_problem(api.http.put(url, params=query, content=b"{}"), 422, "invalid-manifest")
    assert_problem(api.http.put(url, params={"name": "Photos"}, content=b""), 422, "invalid-request")
    assert api.http.get("/v1/data").json()["items"] == []


def test_an_object_that_somebody_deleted_from_the_store_is_missing_again(api: Api, moved: MovedClock) -> None:
    push = Push()
    push.push(api)
    api.services.store.delete(pack_object(next(iter(push.packs))))
    moved.move(3_700)
    assert_problem(push.publish(api, "copy"), 409, "packs-missing")
    push.push(api, "copy")


@ON_BOTH
def test_the_newest_version_is_the_one_that_was_pushed_last(api: Api) -> None:
    first, second = Push(), Push({**PHOTOS, "cats/2.png": b"cat two"})
    for push, status in ((first, 201), (second, 201), (first, 200)):
        push.send(api)
        assert push.publish(api).status_code == status
        assert api.http.get("/v1/data/photos").json()["items"][0]["digest"] == push.digest
    Push().push(api, "other")
    pages = [api.http.get("/v1/data", params={"limit": 2}).json()]
    pages.append(api.http.get("/v1/data", params={"limit": 2, "cursor": pages[0]["next_cursor"]}).json())
    listed = [(one["name"], one["digest"]) for page in pages for one in page["items"]]
    assert listed == [("other", first.digest), ("photos", first.digest), ("photos", second.digest)]
    assert pages[1]["next_cursor"] is None


@ON_BOTH
def test_a_job_is_pinned_to_the_newest_version_and_keeps_it(api: Api) -> None:
    old, new = Push(), Push({**PHOTOS, "cats/2.png": b"cat two"})
    old.push(api)
    new.push(api)
    answer = submit(api, "photos")
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert job["spec"]["dataset"]["data"] == f"photos@sha256:{new.digest}"
    assert pins(job["spec"]) == [new.digest]
    assert submit(api, f"photos@sha256:{old.digest}").json()["spec"]["dataset"]["data"].endswith(old.digest)
    old_worker = WorkerHand(api, api.attempt(job["id"])["id"], job["id"])
    assert_problem(old_worker.claim(), 409, "worker-too-old")
    for url in ("/v1/data/photos", f"/v1/data/photos/{new.digest}"):
        problem = assert_problem(api.http.delete(url), 409, "data-in-use")
        assert "x" in problem["detail"]
    api.ask(job["id"], "cancel")
    deleted = api.http.delete(f"/v1/data/photos/{new.digest}").json()["items"]
    assert [one["digest"] for one in deleted] == [new.digest]


def test_data_that_does_not_exist_is_refused_with_the_nearest_name(api: Api) -> None:
    push = Push()
    push.push(api)
    wanted = {"photo": "did you mean 'photos'?", f"photos@sha256:{'0' * 64}": f"the newest is sha256:{push.digest}"}
    for data, words in wanted.items():
        spec = {"name": "x", "network": {"name": "network-2"}, "dataset": {"name": "image-folder", "data": data}}
        preview = api.http.post("/v1/plans:preview", json={**spec, "stages": [{"image_size": 16, "epochs": 1}]})
        for answer in (submit(api, data), preview):
            (error,) = assert_problem(answer, 422, "invalid-spec")["errors"]
            assert error["field"] == "dataset.data"
            assert words in error["message"]
            assert "baton data list" in error["message"]
    assert_problem(api.http.get("/v1/data/photo"), 404, "not-found")
    assert_problem(api.http.delete("/v1/data/photo"), 404, "not-found")


def test_an_attempt_may_read_the_objects_of_the_manifest_that_it_pins(api: Api) -> None:
    mine, other = Push(), Push({"secret.txt": b"secret"})
    mine.push(api)
    other.push(api, "other")
    store = api.services.store
    for digest in mine.packs:
        assert hold(store, [mine.digest], pack_object(digest))
    assert hold(store, [mine.digest], f"data/manifests/{mine.digest}")
    for name in (*map(pack_object, other.packs), f"data/manifests/{other.digest}", "jobs/1/best.keras", "data/packs/"):
        assert not hold(store, [mine.digest], name)
    assert pins({"dataset": {"name": "image-folder", "path": "/data"}}) == []


def test_scopes(api: Api) -> None:
    push = Push()
    pusher, reader = (bearer(api.token(scope)["token"]) for scope in ("data", "read"))
    digest, content = next(iter(push.packs.items()))
    assert api.http.put(f"/v1/packs/{digest}", content=content, headers=pusher).status_code == 204
    assert_problem(api.http.put(f"/v1/packs/{digest}", content=content, headers=reader), 403, "forbidden")
    assert_problem(api.http.get("/v1/data", headers=pusher), 403, "forbidden")
    assert api.http.get("/v1/data", headers=reader).status_code == 200


def test_the_limit_of_the_service_names_what_to_delete(start: Callable[..., Api]) -> None:
    api = start(data_bytes=1_000)
    old = Push({"a": bytes(600)})
    old.push(api)
    problem = assert_problem(put(api, sha256(bytes(500)), bytes(500)), 507, "data-quota")
    assert f"baton data delete photos@sha256:{old.digest} (600 bytes" in problem["detail"]
    assert put(api, sha256(b"small"), b"small").status_code == 204
