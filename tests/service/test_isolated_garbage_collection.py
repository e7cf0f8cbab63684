"""Garbage collection with a bad row in each table that it reads, and with a failing store: all other items are
processed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from baton.storage import InvalidName, StoreConfigError, StoreUnavailable
from baton.storage.port import BlobInfo
from service.db.operation_tables import PassFailure
from service.db.tables import Artifact, Checkpoint, Garbage
from service.db.types import db_now
from service.reconciler import artifact_publishing, garbage_collection, store_pass
from service.reconciler.store_pool import StorePool
from tests.service.helpers import Api, eventually
from tests.service.stored_checkpoints import save, stored, sweep


def failures(api: Api) -> dict[str, PassFailure]:
    """The failures of single items, by step."""
    with api.services.database.read() as session:
        return {row.step: row for row in session.scalars(select(PassFailure))}


def let_retry(api: Api) -> None:
    with api.services.database.write() as session:
        session.execute(update(PassFailure).values(retry_at=db_now()))


def assert_told(api: Api, step: str, job_id: str, words: str, tries: int = 1) -> None:
    """The failure of the item has a row with the time of its next try, and an event in the log of its job."""
    row = failures(api)[step]
    assert (row.job_id, row.tries) == (job_id, tries)
    assert words in row.error
    assert row.retry_at > row.first_at
    told = [event for event in api.items(job_id, "events") if event["kind"] == "item_failed"]
    assert [event["data"]["step"] for event in told] == [step] * tries.bit_length()


def source_of(api: Api) -> str:
    """The object of the only artifact."""
    with api.services.database.read() as session:
        return session.execute(select(Artifact.object)).scalar_one()


def test_an_artifact_whose_source_is_missing(api: Api) -> None:
    hand, store = api.running(), api.services.store
    hand.artifact("a.txt", b"a")
    source = source_of(api)
    store.delete(source)
    for name in ("b.txt", "c.txt"):
        hand.artifact(name, name.encode())
    api.conduct()
    assert [store.get(f"jobs/{hand.job_id}/{name}") for name in ("b.txt", "c.txt")] == [b"b.txt", b"c.txt"]
    assert_told(api, "publish", hand.job_id, "NotFound")
    api.conduct()
    assert failures(api)["publish"].tries == 1  # the time of the next try has not come
    let_retry(api)
    api.conduct()
    assert_told(api, "publish", hand.job_id, "NotFound", tries=2)
    store.put(source, b"back")
    let_retry(api)
    api.conduct()
    assert store.get(f"jobs/{hand.job_id}/a.txt") == b"back"
    assert failures(api) == {}


def test_an_artifact_whose_source_stays_missing_is_given_up_with_one_event(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_publishing, "MOST_TRIES", 3)
    hand, store = api.running(), api.services.store
    hand.artifact("a.txt", b"a")
    source = source_of(api)
    store.delete(source)
    for _ in range(5):
        api.conduct()
        let_retry(api)
    told = [event for event in api.items(hand.job_id, "events") if event["kind"] == "item_failed"]
    assert [event["data"]["tries"] for event in told] == [1, 2, 3]
    assert told[-1]["data"] == {"step": "publish", "tries": 3, "given_up": True}
    assert f"its object {source} is missing, and is not tried again" in told[-1]["message"]
    assert failures(api) == {}
    hand.artifact("a.txt", b"newer")
    api.conduct()
    assert store.get(f"jobs/{hand.job_id}/a.txt") == b"newer"


def test_an_object_that_is_gone_already_is_deleted(api: Api) -> None:
    hand, store = api.running(checkpoint={"keep": 1}), api.services.store
    for content in (b"1", b"2"):
        hand.artifact("a.txt", content)
    for step in (1, 2):
        save(api, hand, step)
    with api.services.database.write() as session:
        session.execute(update(Garbage).values(not_before=db_now()))
        gone = [session.scalars(select(Garbage.object)).one()]
        prefix = session.scalars(select(Checkpoint.prefix).where(Checkpoint.state == "deleted")).one()
    gone += [blob.name for blob in store.list(f"{prefix}/")]
    for name in gone:
        store.delete(name)
    api.conduct()
    assert failures(api) == {}
    with api.services.database.read() as session:
        assert session.scalars(select(Garbage.object)).all() == []
        assert None not in session.scalars(select(Checkpoint.collected_at).where(Checkpoint.state == "deleted")).all()


def test_a_newer_version_does_not_wait_for_the_retry_of_the_one_before(api: Api) -> None:
    hand, store = api.running(), api.services.store
    hand.artifact("a.txt", b"a")
    store.delete(source_of(api))
    api.conduct()
    hand.artifact("a.txt", b"newer")
    api.conduct()
    assert store.get(f"jobs/{hand.job_id}/a.txt") == b"newer"


@pytest.mark.parametrize("prefix", ["jobs//x", "jobs/../x", ".baton-tmp/x"])
def test_a_checkpoint_whose_prefix_is_no_name(api: Api, prefix: str) -> None:
    hand = api.running(checkpoint={"keep": 1})
    for step in range(1, 5):
        save(api, hand, step)
    with api.services.database.write() as session:
        first = session.scalars(select(Checkpoint.id).where(Checkpoint.state == "deleted").limit(1)).one()
        session.execute(update(Checkpoint).where(Checkpoint.id == first).values(prefix=prefix))
    api.conduct()
    assert len(stored(api, hand)) == 2  # the newest checkpoint, and the one whose row lost its prefix
    assert_told(api, "delete_checkpoint", hand.job_id, "InvalidName")


def test_an_object_that_the_store_refuses_to_delete(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hand, store = api.running(), api.services.store
    for content in (b"1", b"2", b"3"):
        hand.artifact("a.txt", content)
    with api.services.database.write() as session:
        session.execute(update(Garbage).values(not_before=db_now()))
        held, other = session.scalars(select(Garbage.object).order_by(Garbage.object)).all()
    delete = store.delete

    def refusing(name: str) -> None:
        if name == held:
            raise StoreConfigError("403 the object is under retention")
        delete(name)

    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", refusing)
        api.conduct()
        assert store.stat(other) is None
        assert_told(api, "delete_object", hand.job_id, "under retention")
    let_retry(api)
    api.conduct()
    assert store.stat(held) is None
    assert failures(api) == {}


def test_a_job_whose_objects_cannot_be_listed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good, store = api.running(), api.running("w2"), api.services.store
    orphans = []
    for hand in (bad, good):
        orphans.append(f"{hand.prefix(2)}/state.safetensors")
        store.put(orphans[-1], b"x")
        hand.finish("failed", reason="bad_data")
    list_all = store.list

    def refusing(prefix: str = "") -> Iterator[BlobInfo]:
        if bad.job_id in prefix:
            raise InvalidName("a link lies there")
        return list_all(prefix)

    with monkeypatch.context() as patch:
        patch.setattr(store, "list", refusing)
        sweep(api)
        assert [store.stat(orphan) is None for orphan in orphans] == [False, True]
        assert_told(api, "sweep", bad.job_id, "a link lies there")
    let_retry(api)
    api.conduct()
    assert [store.stat(orphan) is None for orphan in orphans] == [True, True]


def test_a_store_that_is_away_is_no_items_fault(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hand, store = api.running(checkpoint={"keep": 1}), api.services.store
    hand.artifact("a.txt", b"a")
    for step in range(1, 4):
        save(api, hand, step)

    def away(*_: object) -> Any:
        raise StoreUnavailable("the bucket is away")

    with monkeypatch.context() as patch:
        for name in ("copy", "list", "delete", "check"):
            patch.setattr(store, name, away)
        for step in (artifact_publishing.publish, garbage_collection.collect_checkpoints):
            with pytest.raises(StoreUnavailable):
                step(api.services.database, store)
        assert failures(api) == {}
    api.conduct()
    assert len(stored(api, hand)) == 1


def test_one_object_for_which_the_store_never_answers(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hand, store = api.running(), api.services.store
    for name in ("a.txt", "b.txt"):
        hand.artifact(name, name.encode())
    copy = store.copy

    def shaky(source: str, target: str) -> BlobInfo:
        if source.endswith("a.txt"):
            raise StoreUnavailable("503, for this one always")
        return copy(source, target)

    monkeypatch.setattr(store, "copy", shaky)
    for _ in range(2):
        api.conduct()
    assert store.get(f"jobs/{hand.job_id}/b.txt") == b"b.txt"
    assert_told(api, "publish", hand.job_id, "503")


def test_a_store_that_hangs_ends_the_turn_and_holds_few_threads(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hand, store = api.running(), api.services.store
    for name in ("a", "b", "c", "d"):
        hand.artifact(name, b"x")
    released, copy = threading.Event(), store.copy
    monkeypatch.setattr(artifact_publishing, "PUBLISHERS", StorePool(3, patience=0.05))
    monkeypatch.setattr("service.reconciler.store_pool.LOOK_SECONDS", 0.01)
    monkeypatch.setattr(store, "copy", lambda *names: (released.wait(60), copy(*names))[1])

    def hung() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "housekeeper"]

    for left_behind in (3, 4):
        with pytest.raises(StoreUnavailable, match="not answered"):
            artifact_publishing.publish(api.services.database, store)
        assert len(hung()) == left_behind
    # No second call is made while the first one hangs. Each item waits for its next try.
    artifact_publishing.publish(api.services.database, store)
    assert set(failures(api)) == {"publish"}
    let_retry(api)
    artifact_publishing.publish(api.services.database, store)
    assert len(hung()) == 4
    released.set()
    eventually(lambda: not hung())
    api.conduct()
    assert all(store.get(f"jobs/{hand.job_id}/{name}") == b"x" for name in ("a", "b", "c", "d"))
    assert failures(api) == {}


def test_a_full_batch_is_followed_by_the_next_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage_collection, "BATCH", 3)
    hand = api.running(checkpoint={"keep": 1})
    for step in range(1, 12):
        save(api, hand, step)
    assert backlog(api)["checkpoints"] == 10
    monkeypatch.setattr(store_pass, "ROUNDS", 2)
    garbage_collection.collect_checkpoints(api.services.database, api.services.store)
    assert (len(stored(api, hand)), backlog(api)["checkpoints"]) == (5, 4)
    monkeypatch.setattr(store_pass, "ROUNDS", 10)
    garbage_collection.collect_checkpoints(api.services.database, api.services.store)
    assert (len(stored(api, hand)), backlog(api)["checkpoints"]) == (1, 0)


def backlog(api: Api) -> dict[str, float]:
    """The backlog as Prometheus reads it."""
    api.http.app.state.scrape._last = None  # type: ignore[union-attr]
    lines = api.http.get("/metrics").text.splitlines()
    found = (line.split() for line in lines if line.startswith("baton_garbage_backlog{"))
    return {name.split('"')[1]: float(number) for name, number in found}


def test_bad_checkpoints_of_jobs_that_run_take_no_place_in_a_batch(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage_collection, "SLICE", 2)
    running = [api.running(f"w{number}") for number in range(6)]
    for hand in running:
        prefix = save(api, hand, 1)
        assert hand.post("quarantine", prefix=prefix, message="bad").status_code == 200
    ended = running[3]
    ended.finish("succeeded")

    def collected() -> bool:
        garbage_collection.collect_checkpoints(api.services.database, api.services.store)
        return stored(api, ended) == set()

    eventually(collected)
    assert all(stored(api, hand) for hand in running if hand is not ended)
