"""Deletion of pushed data that nobody needs, during other pushes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from baton.domain.data_manifest import manifest_object, pack_object
from baton.storage import StoreError
from service.db.data_tables import DataObject
from service.db.unit_of_work import Unit
from service.usecases import data_objects
from tests.service.helpers import ON_BOTH, Api, assert_problem
from tests.service.pushes import Push, put, sha256, submit
from tests.support.moved_clock import MovedClock, moved_clock

HOUR, DAY = 3_600.0, 86_400.0


def stored(api: Api) -> set[str]:
    return {blob.name for blob in api.services.store.list("data/")}


def objects(*pushes: Push) -> set[str]:
    return {manifest_object(push.digest) for push in pushes} | {
        pack_object(one) for push in pushes for one in push.packs
    }


@ON_BOTH
def test_what_no_version_needs_is_deleted_a_day_after_its_last_use(api: Api, moved: MovedClock) -> None:
    shared = {"a": b"a" * 9}
    kept, gone = Push(shared), Push({**shared, "b": b"b" * (16 << 20)})
    assert set(kept.packs) < set(gone.packs)
    kept.push(api)
    gone.push(api, "gone")
    put(api, sha256(b"never named"), b"never named")
    api.conduct()
    assert len(stored(api)) == len(objects(kept, gone)) + 1
    assert api.http.delete("/v1/data/gone").status_code == 200
    moved.move(DAY + HOUR)
    for _ in range(2):  # first the manifest, then the packs that no other manifest names
        api.conduct()
    assert stored(api) == objects(kept)
    assert kept.missing(api) == []
    gone.push(api, "again")


@ON_BOTH
def test_an_answer_that_a_pack_is_there_keeps_it_for_the_manifest_that_follows(api: Api, moved: MovedClock) -> None:
    push = Push()
    push.send(api)
    moved.move(DAY - HOUR)
    assert push.missing(api) == []
    moved.move(DAY - HOUR)
    api.conduct()
    assert push.publish(api).status_code == 201


@ON_BOTH
def test_a_push_during_a_deletion_waits_for_its_end(
    api: Api, moved: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any point between the decision to delete and the end of the deletion, a push keeps the packs that it uses."""
    push, store = Push(), api.services.store
    push.send(api)
    moved.move(DAY + HOUR)
    delete = store.delete
    (digest, content), *_ = push.packs.items()

    def meanwhile(name: str) -> None:
        assert push.missing(api) == [digest]
        assert_problem(push.publish(api), 409, "packs-missing")
        answer = put(api, digest, content)
        assert_problem(answer, 503, "busy")
        assert answer.headers["retry-after"] == "5"
        delete(name)

    monkeypatch.setattr(store, "delete", meanwhile)
    api.conduct()
    monkeypatch.undo()
    assert stored(api) == set()
    push.push(api)
    api.conduct()
    assert stored(api) == objects(push)


@ON_BOTH
def test_a_deletion_that_was_cut_off_is_taken_over_later(api: Api, moved: MovedClock) -> None:
    push = Push()
    push.push(api)
    api.http.delete("/v1/data/photos")
    moved.move(DAY + HOUR)
    with api.services.database.write() as session:
        assert data_objects.doom(Unit(session), DataObject.number > 0, 10) == [manifest_object(push.digest)]
    api.conduct()
    assert stored(api) == objects(push)  # the process that began this deletion may still be running
    moved.move(660)
    for _ in range(2):
        api.conduct()
    assert stored(api) == set()


def test_an_object_that_cannot_be_deleted_stops_nothing_else(
    api: Api, moved: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = sha256(b"bad"), sha256(b"good")
    put(api, bad, b"bad")
    put(api, good, b"good")
    store = api.services.store
    delete = store.delete

    def failing(name: str) -> None:
        if name == pack_object(bad):
            raise StoreError("no permission")
        delete(name)

    monkeypatch.setattr(store, "delete", failing)
    moved.move(DAY + HOUR)
    hand = api.running()
    hand.artifact("best.keras", b"one")
    api.conduct()
    assert stored(api) == {pack_object(bad)}
    assert store.get(f"jobs/{hand.job_id}/best.keras") == b"one"
    monkeypatch.undo()
    moved.move(700)
    api.conduct()
    assert stored(api) == set()


def test_objects_without_a_row_are_found_and_deleted(api: Api, moved: MovedClock) -> None:
    """A database that was restored from a backup has no rows of data that was pushed after the backup."""
    push, store = Push(), api.services.store
    for digest, content in push.packs.items():
        store.put(pack_object(digest), content)
    assert push.missing(api) == list(push.packs)
    api.conduct()
    assert stored(api) == {pack_object(digest) for digest in push.packs}
    assert push.missing(api) == list(push.packs)  # nobody knows any more which project has sent them
    moved.move(DAY + HOUR)
    api.conduct()
    assert stored(api) == set()


@ON_BOTH
def test_versions_that_no_job_uses_expire(start: Callable[..., Api]) -> None:
    api = start(data_retention=30 * DAY)
    services = api.services
    databases = (services.database, services.leases, services.reconciler._database)
    with moved_clock(*(one.engine for one in databases)) as clock:
        Push().push(api, "used")
        Push({"x": b"x"}).push(api, "idle")
        job = submit(api, "used").json()
        clock.move(29 * DAY)
        api.conduct()
        assert {one["name"] for one in api.http.get("/v1/data").json()["items"]} == {"used", "idle"}
        clock.move(2 * DAY)
        api.conduct()
        assert [one["name"] for one in api.http.get("/v1/data").json()["items"]] == ["used"]
        api.ask(job["id"], "cancel")
        clock.move(31 * DAY)
        api.conduct()
        assert api.http.get("/v1/data").json()["items"] == []
