"""A service with jobs that look trained, made without training.

`python -m tests.browser.screenshots FOLDER` takes screenshots of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from service.db.engine import Database, open_engine
from service.db.migrate import migrate
from service.db.tables import Worker
from tests.browser.seed_jobs import Held, SeedJob
from tests.browser.seed_rows import SeedRows

STORIES = (
    SeedJob("imagenet-sweep-7", "queued", labels={"team": "vision"}, began=timedelta(minutes=3)),
    SeedJob(
        "paper-network-2",
        "running",
        (
            Held(17.4, "preempted", "preempted", "the machine is taken: GCE says TERMINATE_ON_HOST_MAINTENANCE"),
            Held(31.0, "lost", "lease_expired", "no heartbeat for 30 s", "spot-a100-9"),
            Held(44.6, "preempted", "preempted", "session ends at 12:00 (BATON_DEADLINE)", "colab-42"),
            Held(None, worker="spot-a100-3"),
        ),
        labels={"team": "vision", "user": "ada", "sweep": "width"},
        began=timedelta(minutes=80), series=True,
    ),
    SeedJob(
        "silent-sweep", "running", (Held(None, worker="spot-a100-7"),), labels={"team": "vision"},
        began=timedelta(minutes=50), silent=timedelta(seconds=18),
    ),
    SeedJob(
        "digits-demo", "succeeded", (Held(17.0, "preempted", "preempted"), Held(30.0, "succeeded")),
        stages=(("warm-16", 16, 32, 8), ("grow-32", 32, 32, 6), ("augmented-16", 16, 32, 8), ("polish-32", 32, 32, 8)),
        best=0.981, began=timedelta(hours=7), labels={"team": "docs"}, series=True,
        results={"val_accuracy": 0.9812, "val_top5": 0.9991, "test_accuracy": 0.9777, "test_f1": 0.9771},
    ),
    SeedJob(
        "wide-network-1", "failed", (Held(9.0, "failed", "out_of_memory", "CUDA ran out of memory: 31.2 of 39.5 GiB"),),
        reason="out_of_memory", best=0.31, began=timedelta(hours=20), labels={"team": "vision"},
        message="out of memory at batch size 512: choose a smaller one for stage 2, or a larger machine",
    ),
    SeedJob(
        "ablation-dropout", "paused", (Held(21.3, "paused", "paused"),),
        desired="pause", reason="paused", best=0.5, began=timedelta(hours=9),
    ),
    SeedJob(
        "colab-overnight", "recovering", (Held(26.2, "lost", "lease_expired", "no heartbeat for 30 s", "colab-17"),),
        best=0.48, reason="lease_expired",
    ),
    SeedJob(
        "seed-study-3", "cancelled", (Held(4.0, "cancelled", "cancelled"),),
        reason="cancelled", best=0.2, began=timedelta(days=2),
    ),
    SeedJob(
        "long-haul", "succeeded", (Held(150.0, "succeeded"),), (("all", 32, 256, 150),),
        best=0.7, began=timedelta(days=3),
    ),
)  # fmt: skip


def fill(database_url: str, store_url: str, stories: Sequence[SeedJob] = STORIES, *, more: int = 29) -> dict[str, str]:
    """Create the database and the objects in the store, and return the ids of the jobs by their names.

    `more`: the number of additional short jobs, which fill pages.
    """
    migrate(database_url)
    engine = open_engine(database_url)
    small = [
        SeedJob(f"seed-study-{k}", "succeeded", (Held(6.0, "succeeded"),), (("one", 16, 32, 6),), 0.7 + k / 200,
              {"team": "docs", "n": str(k)}, timedelta(days=1, hours=k))
        for k in range(4, 4 + more)
    ]  # fmt: skip
    with Database(engine).write() as session:
        found = {
            story.name: SeedRows(session, story, store_url).write() for story in [*reversed(small), *reversed(stories)]
        }
        session.add_all(_workers())
    engine.dispose()
    return found


HOUR = 3600
"""Workers were last seen this far in the future: none is lost, however slow a test is."""


def _workers() -> Iterator[Worker]:
    now = datetime.now(UTC)
    wrong = "it uses gs://old-bucket/runs, this service gs://bucket/runs: set BATON_STORE to gs://bucket/runs"
    for name, device, busy, silent in (
        ("spot-a100-3", "NVIDIA A100-SXM4-40GB", True, -HOUR),
        ("spot-a100-7", "NVIDIA A100-SXM4-40GB", True, -HOUR),
        ("spot-a100-9", "NVIDIA A100-SXM4-40GB", False, 4200),
        ("lab-1", "cpu", False, -HOUR),
        ("lab-2", "cpu", False, -HOUR),
        ("lab-3", "NVIDIA L4", False, -HOUR),
        ("colab-42", "Tesla T4", False, 600),
    ):
        yield Worker(
            name=name, host=f"{name}.internal", pid=4711, version="0.2.0", device=device, busy=busy,
            queues=["default", "fast"], extensions=["dataset:squares"] if name == "lab-2" else [],
            last_seen_at=now - timedelta(seconds=silent), since=now - timedelta(minutes=80),
            ended_at=now - timedelta(seconds=silent) if name == "colab-42" else None,
            refusal=wrong if name == "lab-1" else None,
            rests_until=now + timedelta(hours=8) if name == "lab-3" else None,
            rests_why="3 attempts of different jobs crashed here" if name == "lab-3" else None,
        )  # fmt: skip
