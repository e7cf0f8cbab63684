"""A long history of a job makes no call slower: rows of ended attempts and deleted checkpoints are not read again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, insert, select

from service.db.tables import Attempt, Checkpoint
from service.db.types import db_now
from tests.service.helpers import ON_BOTH, Api, WorkerHand

pytestmark = ON_BOTH

RETIRED = 150


@contextmanager
def loaded(kind: type) -> Iterator[list[object]]:
    """The rows of a table that are loaded while the context is open."""
    found: list[object] = []

    def load(row: object, _context: object) -> None:
        found.append(row)

    event.listen(kind, "load", load)
    yield found
    event.remove(kind, "load", load)


def copies(api: Api, table: Any, row_id: str, many: int, **changes: Any) -> None:
    """Insert copies of a row. Each value of `changes` is a function of the copy's number."""
    with api.services.database.write() as session:
        row = session.execute(select(table.__table__).where(table.id == row_id)).one()._asdict()
        row.pop("number", None) if table is Checkpoint else None
        rows = [
            {**row, "id": uuid.uuid4().hex, **{name: made(k) for name, made in changes.items()}} for k in range(many)
        ]
        session.execute(insert(table.__table__), rows)


def with_retired(api: Api, many: int = RETIRED) -> WorkerHand:
    """A running job that keeps two checkpoints and has this many deleted checkpoints."""
    hand = api.running(checkpoint={"keep": 2})
    first = hand.checkpoint(1).json()["id"]
    with api.services.database.read() as session:
        now = session.scalar(select(db_now()))
    gone = {"state": lambda _: "deleted", "collected_at": lambda _: now, "prefix": lambda k: f"old-{k}"}
    copies(api, Checkpoint, first, many, **gone)
    return hand


def test_a_commit_reads_only_the_checkpoints_that_are_kept(api: Api) -> None:
    hand = with_retired(api)
    for step in (2, 3, 4):
        with loaded(Checkpoint) as rows:
            assert hand.checkpoint(step).status_code == 201
        assert len(rows) <= 3
    states = [row["state"] for row in api.items(hand.job_id, "checkpoints")]
    assert states.count("committed") == 2


def test_a_claim_reads_only_the_checkpoints_that_are_kept(api: Api) -> None:
    hand = with_retired(api)
    hand.finish("preempted")
    with loaded(Checkpoint) as rows:
        assert len(api.claim(hand.job_id).grant["checkpoints"]) == 1
    assert len(rows) <= 2


def test_the_list_has_existing_checkpoints_and_the_newest_deleted_ones(api: Api) -> None:
    hand = api.running(checkpoint={"keep": 2})
    for step in (1, 2):
        hand.checkpoint(step)
    bad = api.items(hand.job_id, "checkpoints")[1]
    assert hand.post("quarantine", prefix=bad["prefix"], message="bad").status_code == 200
    gone = {"state": lambda _: "deleted", "prefix": lambda k: f"old-{k}"}
    copies(api, Checkpoint, bad["id"], RETIRED, **gone)
    hand.checkpoint(3)
    with loaded(Checkpoint) as rows:
        found = api.items(hand.job_id, "checkpoints")
    assert len(rows) <= 110
    assert [row["global_step"] for row in found if row["state"] == "committed"] == [3, 2]
    # The checkpoint is older than the newest hundred, but its objects still exist.
    assert [row["id"] for row in found if row["state"] == "quarantined"] == [bad["id"]]
    deleted = [row["prefix"] for row in found if row["state"] == "deleted"]
    assert deleted == [f"old-{k}" for k in reversed(range(RETIRED - 100, RETIRED))]


def test_a_job_and_a_claim_read_no_attempt_that_is_over(api: Api) -> None:
    hand = api.running()
    hand.checkpoint(1)
    hand.finish("preempted")
    over = {"state": lambda _: "preempted", "number": lambda k: k - 1000, "fence": lambda k: k + 1000}
    copies(api, Attempt, hand.attempt_id, RETIRED, **over)
    again = WorkerHand(api, api.attempt(hand.job_id)["id"], hand.job_id)
    with loaded(Attempt) as rows:
        again.grant = again.claim().json()
        assert api.job(hand.job_id)["attempts"] == 2
        again.finish("failed", reason="process_died")
        assert len(api.http.get("/v1/jobs").json()["items"]) == 1
    assert {row.number for row in rows if isinstance(row, Attempt)} <= {2, 3}
