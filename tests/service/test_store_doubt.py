"""A service finds a different store than before: when it refuses the store, and how it reports a store that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from baton.domain.store_identity import IDENTITY
from baton.storage import BlobStore
from baton.storage.directory import DirectoryStore
from baton.storage.identity import read_identity
from service.api import readiness
from service.store.identity import ServiceStore
from tests.service.clock import MovedClock
from tests.service.helpers import Api, assert_problem, eventually
from tests.service.store_claims import claim, identity


def settled(api: Api, store: BlobStore, replaces: str = "") -> ServiceStore:
    """A service on this database that begins to use this store."""
    own = ServiceStore(store, api.services.database, replaces)
    own.settle()
    return own


def test_another_store_without_the_jobs_objects_is_doubted(known: Api, tmp_path: Path) -> None:
    before, empty = identity(known), DirectoryStore(tmp_path / "empty")
    known.running().checkpoint(5)
    own = settled(known, empty)
    assert own.doubt is not None
    for word in (before, known.services.own_store.url, own.url, "BATON_STORE_REPLACES"):
        assert word in own.doubt
    assert read_identity(empty) is None
    given_up = settled(known, empty, replaces=before)
    assert given_up.doubt is None
    assert given_up.id not in (None, before)
    # The first store is accepted again, although another one was used in between.
    assert settled(known, known.services.store).id == before


def test_an_identity_that_was_lost_alone_is_written_again(known: Api) -> None:
    before = identity(known)
    known.running().checkpoint(5)
    known.services.store.delete(IDENTITY)
    assert settled(known, known.services.store).id == before
    assert identity(known) == before


def test_a_store_may_be_changed_while_no_job_needs_it(known: Api, tmp_path: Path) -> None:
    new, hand = DirectoryStore(tmp_path / "new"), known.running()
    hand.checkpoint(5)
    hand.finish("succeeded")
    own = settled(known, new)
    assert own.doubt is None
    assert own.id == read_identity(new)


def test_a_service_in_doubt_publishes_and_deletes_nothing(known: Api) -> None:
    hand, store = known.running(), known.services.store
    assert hand.artifact().is_success
    for step in (1, 2, 3, 4):
        hand.checkpoint(step)
    before = sorted(one.name for one in store.list(""))
    known.services.own_store.doubt = "it is another one"
    known.conduct()
    assert sorted(one.name for one in store.list("")) == before
    known.services.own_store.doubt = None
    known.conduct()
    after = sorted(one.name for one in store.list(""))
    assert set(after) - set(before)
    assert set(before) - set(after)


@pytest.fixture
def frequent_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(readiness.EVERY, "store", 0.02)


@pytest.mark.usefixtures("frequent_checks")
def test_a_service_in_doubt_gives_no_work_and_says_so(known: Api) -> None:
    attempt_id = known.attempt(known.submit()["id"])["id"]
    known.services.own_store.doubt = "it is another one"
    assert_problem(claim(known, attempt_id, None), 409, "store-in-doubt")
    eventually(lambda: "it is another one" in known.http.get("/readyz").text)
    known.services.own_store.doubt = None


def test_trouble_is_told_once_for_each_cause(known: Api) -> None:
    hand = known.running()

    def beat(cause: str | None, seconds: float = 40.0) -> str | None:
        told = {"what": "saving", "cause": cause, "detail": "the disk is full", "seconds": seconds}
        assert hand.beat(trouble=told if cause else None, doing=None).status_code == 200
        return known.job(hand.job_id)["message"]

    assert beat("store_full") == "saving has failed for 40 s: the disk is full"
    assert beat("store_full", 50.0) == "saving has failed for 50 s: the disk is full"
    beat("store_unavailable")
    assert beat(None) is None
    assert beat("slow") == "saving has been running for 40 s and has not finished"
    assert beat(None) is None
    kinds = [kind for kind in known.kinds(hand.job_id) if kind.startswith("store_")]
    assert kinds == ["store_failing", "store_failing", "store_works_again"]


def test_an_overdue_checkpoint_names_what_fails(known: Api, clock: MovedClock) -> None:
    hand = known.running()
    told = {"what": "saving", "cause": "store_full", "detail": "the disk is full", "seconds": 200.0}
    hand.beat(trouble=told, interval_seconds=20.0)
    clock.to(91)
    known.conduct()
    overdue = [event for event in known.items(hand.job_id, "events") if event["kind"] == "checkpoint_overdue"]
    assert "saving has failed for 200 s: the disk is full" in overdue[0]["message"]
