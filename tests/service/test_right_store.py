"""Service and workers must use the same store: another store is refused, a commit needs its objects, and a missing
object is reported.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from baton.domain.manifest import MANIFEST
from baton.storage import StoreUnavailable
from service.db.tables import Attempt, Worker
from service.db.unit_of_work import Unit
from tests.service.helpers import Api, assert_problem, eventually
from tests.service.store_claims import claim, identity, worker_with

OTHER = "ab" * 16


def lose(api: Api, prefix: str) -> None:
    """Delete the manifest of a checkpoint."""
    api.services.store.delete(f"{prefix}/{MANIFEST}")


def test_the_service_writes_its_identity_once(known: Api, start: Callable[..., Api]) -> None:
    first = identity(known)
    assert first == known.services.own_store.id
    again = start()
    assert eventually(lambda: again.services.own_store.id) == first
    assert identity(known) == first


def test_a_worker_with_another_store_gets_no_work(known: Api) -> None:
    url, theirs = known.services.own_store.url, "gs://user:secret@elsewhere/x"
    job_id = known.submit()["id"]
    attempt_id = known.attempt(job_id)["id"]
    wrong = {"url": theirs, "id": OTHER}
    info = worker_with(wrong)
    with known.services.database.read() as session:
        before = Unit(session).now()
    answers = [
        known.http.post("/v1/workers", json=info),
        known.http.post("/v1/attempts:next", json={"worker": info}),
        claim(known, attempt_id, wrong),
    ]
    for answer in answers:
        detail = assert_problem(answer, 409, "wrong-store")["detail"]
        assert url in detail
        assert "elsewhere/x" in detail
        assert "secret" not in detail
        assert f"BATON_STORE={url}" in detail
    # The attempt is offered to other workers a little later.
    assert known.attempt(job_id)["state"] == "queued"
    with known.services.database.read() as session:
        assert session.get_one(Attempt, attempt_id).not_before > before
        refusal = session.get_one(Worker, "w9").refusal
    assert refusal is not None
    assert url in refusal


def test_the_same_bucket_with_another_prefix_is_no_store(known: Api) -> None:
    answer = known.http.post("/v1/workers", json=worker_with({"url": "gs://bucket/other", "id": None}))
    detail = assert_problem(answer, 409, "wrong-store")["detail"]
    assert detail.startswith("there is no Baton store at gs://bucket/other")


def test_another_way_to_the_same_directory_is_the_same_store(known: Api) -> None:
    attempt_id = known.attempt(known.submit()["id"])["id"]
    same = {"url": "file:///mnt/elsewhere", "id": identity(known)}
    assert known.http.post("/v1/workers", json=worker_with(same)).status_code == 204
    assert claim(known, attempt_id, same).status_code == 200


def test_a_worker_whose_store_is_away_is_known_and_gets_no_work(known: Api) -> None:
    away = {"url": "gs://bucket/x", "problem": "no answer"}
    assert known.http.post("/v1/workers", json=worker_with(away)).status_code == 204
    attempt_id = known.attempt(known.submit()["id"])["id"]
    assert "no answer" in assert_problem(claim(known, attempt_id, away), 409, "store-unreachable")["detail"]


def test_a_worker_that_does_not_say_its_store_is_taken(known: Api) -> None:
    assert claim(known, known.attempt(known.submit()["id"])["id"], None).status_code == 200


def test_a_checkpoint_that_the_service_does_not_see_is_not_committed(known: Api) -> None:
    hand = known.running()
    for written in (False, True):
        prefix = hand.prefix(5)
        if written:
            known.put(f"{prefix}/{MANIFEST}", b"other bytes")
        answer = hand.checkpoint(5, prefix=prefix, written=False)
        assert known.services.own_store.url in assert_problem(answer, 409, "not-in-store")["detail"]
    assert known.items(hand.job_id, "checkpoints") == []
    assert hand.finish("failed", reason="wrong_store", message="not the same store").status_code == 200
    assert known.job(hand.job_id)["status"] == "recovering"


def test_a_repeated_commit_and_a_zombies_are_answered_without_a_look(known: Api) -> None:
    hand = known.running()
    prefix = hand.prefix(5)
    assert hand.checkpoint(5, prefix=prefix).status_code == 201
    lose(known, prefix)
    assert hand.checkpoint(5, prefix=prefix, written=False).status_code == 200
    hand.finish("preempted")
    assert_problem(hand.checkpoint(6, written=False), 409, "lease-lost")


def test_a_file_that_the_service_does_not_see_is_not_committed(known: Api) -> None:
    hand = known.running()
    assert_problem(hand.artifact(content=b"model", size=6), 409, "not-in-store")
    assert known.items(hand.job_id, "artifacts") == []
    assert hand.artifact(content=b"model").status_code == 200


def test_while_the_store_is_away_a_commit_is_to_be_repeated(known: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = known.running()
    prefix = hand.prefix(5)
    hand_over = {"prefix": prefix}
    known.put(f"{prefix}/{MANIFEST}", prefix.encode())
    with monkeypatch.context() as patched:
        patched.setattr(type(known.services.store), "stat", _away)
        assert_problem(hand.checkpoint(5, written=False, **hand_over), 503, "store-unavailable")
        assert_problem(hand.post("quarantine", prefix=prefix, message="x"), 404, "not-found")
    assert hand.checkpoint(5, **hand_over).status_code == 201


def test_a_store_that_hangs_holds_up_nobody_else(known: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hands = [known.running(f"w{number}") for number in range(3)]
    answers, go_on = [], threading.Event()
    for hand in hands:
        prefix = hand.prefix(5)
        known.put(f"{prefix}/{MANIFEST}", prefix.encode())
    monkeypatch.setattr(known.services.looks, "_seconds", 0.05)
    with monkeypatch.context() as patched:
        patched.setattr(type(known.services.store), "stat", lambda *_: go_on.wait())
        for hand in hands:
            for _ in range(8):
                answers.append(hand.checkpoint(5, written=False))
            assert hand.beat().status_code == 200
        go_on.set()
    for answer in answers:
        assert_problem(answer, 503, "store-unavailable")
    monkeypatch.setattr(known.services.looks, "_seconds", 8.0)
    assert hands[0].checkpoint(6).status_code == 201


def _away(*_: object) -> None:
    raise StoreUnavailable("the bucket does not answer")


def test_an_unmounted_store_condemns_nobody(known: Api, tmp_path: Path) -> None:
    """An empty directory is in the place of the store: neither the attempt nor the job is blamed."""
    hand = known.running()
    prefix = hand.checkpoint(5).json()["prefix"]
    (tmp_path / "store").rename(tmp_path / "away")
    (tmp_path / "store").mkdir()
    assert_problem(hand.checkpoint(6, written=False), 503, "store-unavailable")
    assert_problem(hand.post("quarantine", prefix=prefix, message="x", missing=True), 503, "store-unavailable")
    assert known.job(hand.job_id)["status"] == "running"
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "away").rename(tmp_path / "store")
    assert hand.checkpoint(6).status_code == 201


@pytest.mark.parametrize("told", [{"missing": True}, {}], ids=["new worker", "old worker"])
def test_checkpoints_that_are_all_missing_end_the_job(known: Api, told: dict[str, Any]) -> None:
    hand = known.running()
    prefixes = [hand.checkpoint(step).json()["prefix"] for step in (5, 6)]
    hand.finish("preempted")
    successor = known.claim(hand.job_id, "w2")
    for prefix in prefixes:
        lose(known, prefix)
    answer = successor.post("quarantine", prefix=prefixes[1], message="not there", **told)
    assert_problem(answer, 409, "lease-lost")
    job = known.job(hand.job_id)
    assert (job["status"], job["reason"]) == ("failed", "wrong_store")
    assert prefixes[1] in job["message"]
    assert known.services.own_store.url in job["message"]
    assert "restarted" not in known.kinds(hand.job_id)
    # The checkpoints stay recorded: they can be used again when the objects are restored.
    assert {row["state"] for row in known.items(hand.job_id, "checkpoints")} == {"committed"}


def test_one_that_is_missing_among_others_is_passed_over(known: Api) -> None:
    hand = known.running()
    prefixes = [hand.checkpoint(step).json()["prefix"] for step in (5, 6)]
    lose(known, prefixes[1])
    answer = hand.post("quarantine", prefix=prefixes[1], message="not there", missing=True)
    assert answer.json()["state"] == "quarantined"
    assert known.job(hand.job_id)["checkpoint"]["global_step"] == 5


def test_a_worker_that_alone_misses_a_checkpoint_is_told_so(known: Api) -> None:
    hand = known.running()
    prefix = hand.checkpoint(5).json()["prefix"]
    assert_problem(hand.post("quarantine", prefix=prefix, message="x", missing=True), 409, "wrong-store")
    assert known.job(hand.job_id)["checkpoint"]["global_step"] == 5


def test_damaged_ones_are_begun_again_as_before(known: Api) -> None:
    hand = known.running()
    prefix = hand.checkpoint(5).json()["prefix"]
    assert hand.post("quarantine", prefix=prefix, message="checksum", missing=False).status_code == 200
    assert "restarted" in known.kinds(hand.job_id)


def test_a_job_is_cancelled_rather_than_failed_where_its_owner_wants_that(known: Api) -> None:
    hand = known.running()
    prefix = hand.checkpoint(5).json()["prefix"]
    lose(known, prefix)
    known.ask(hand.job_id, "cancel")
    assert_problem(hand.post("quarantine", prefix=prefix, message="x", missing=True), 409, "lease-lost")
    assert known.job(hand.job_id)["status"] == "cancelled"
