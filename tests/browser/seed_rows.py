"""The rows and files of one job, as a service would have them after hours of training."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from baton.domain.manifest import artifact_object, checkpoint_prefix, log_segment
from baton.domain.spec import dump_spec, parse_spec
from baton.storage import open_store
from service.db.tables import (
    Artifact,
    Attempt,
    Checkpoint,
    Epoch,
    Event,
    Job,
    JobLabel,
    Pointer,
    Stage,
)
from service.db.unit_of_work import new_id
from service.usecases import usage
from tests.browser.seed_jobs import HOSTILE, Held, SeedJob
from tests.browser.seed_series import add_series

STEPS = 200
LEASE = timedelta(days=365)
LONG_LEASE = {"BATON_LEASE_SECONDS": "1800", "BATON_PRICES": "NVIDIA*=1.29", "BATON_CURRENCY": "USD"}
"""Settings of a service that keeps these rows as they are. It shortens leases to its own, and no worker sends
heartbeats.

A worker is lost after two leases, which is less than the silence of the gallery's lost worker.
"""

STARTUP = 40.0
PRICE = 1_290_000
"""Of an hour, in millionths."""

EPOCH_SECONDS = 71.0
REPORT = Path(__file__).with_name("report.html")


class SeedRows:
    """Writes the rows of one job."""

    def __init__(self, session: Session, story: SeedJob, store_url: str) -> None:
        self.session, self.story, self.store = session, story, open_store(store_url)
        self.random = random.Random(story.name)
        self.now = datetime.now(UTC) - story.began
        self.job = Job(
            id=new_id(), name=story.name, spec=self.spec(), labels=story.labels, queue="default", priority="normal",
            state=story.state, desired=story.desired, reason=story.reason, message=story.message,
            created_at=self.now, attempts=0, fence=0, events=0, version=0, gpu_us=0, cost=0, project="default",
            owner=story.labels.get("user", "user"),
        )  # fmt: skip
        self.total = sum(stage[3] for stage in story.stages)
        self.done = 0

    def spec(self) -> dict[str, Any]:
        """The spec as it could have been submitted.

        Hostile names are left out, because the service would refuse them.
        """
        stages = [
            {"image_size": size, "batch_size": batch, "epochs": epochs, "steps_per_epoch": STEPS,
             "schedule": {"name": "reduce_on_plateau"}, **({} if name[0] == "<" else {"name": name})}
            for name, size, batch, epochs in self.story.stages
        ]  # fmt: skip
        name = self.story.name if self.story.name != HOSTILE else "hostile"
        spec = {"name": name, "network": {"name": "network-2"}, "dataset": {"name": "digits"}, "stages": stages}
        return dump_spec(parse_spec(spec))

    def write(self) -> str:
        """Write all rows, and return the job's id."""
        self.session.add(self.job)
        self.session.flush()
        for key, value in self.story.labels.items():
            self.session.add(JobLabel(job_number=self.job.number, key=key[:63], value=value[:63]))
        self.event("submitted", "user", f"job {self.story.name} submitted")
        self.stages()
        for held in self.story.held:
            self.attempt(held)
        self.end()
        if self.story.series:
            add_series(self.session, self.job, self.done * STEPS, self.job.created_at, self.now)
        return self.job.id

    def stages(self) -> None:
        """Add the stages. `epoch` sets the times of a stage."""
        self.rows = [
            Stage(job_id=self.job.id, stage=k, name=name, epochs=epochs, image_size=size, batch_size=batch)
            for k, (name, size, batch, epochs) in enumerate(self.story.stages, start=1)
        ]
        self.session.add_all(self.rows)

    def event(self, kind: str, actor: str, message: str, **data: Any) -> None:
        """Add an event with the current time."""
        self.job.events += 1
        self.job.version += 1
        self.session.add(
            Event(
                job_id=self.job.id,
                sequence=self.job.events,
                at=self.now,
                kind=kind,
                actor=actor,
                message=message,
                data=data,
            )
        )

    def attempt(self, held: Held) -> None:
        """Add one attempt, epoch by epoch."""
        self.job.attempts += 1
        self.job.fence += 1
        queued, number = self.now, self.job.attempts
        self.event("queued", "user" if number == 1 else "conductor", f"attempt {number} queued", attempt=number)
        self.now += timedelta(seconds=self.random.uniform(3, 200))
        self.held = held
        self.row = Attempt(
            id=new_id(), job_id=self.job.id, number=number, state=held.state, fence=self.job.fence, worker=held.worker,
            reason=held.reason, message=held.message, not_before=queued, created_at=queued, claimed_at=self.now,
            start_step=self.done * STEPS, lease_expires_at=self.now + LEASE, device="NVIDIA A100-SXM4-40GB",
            claim_id=new_id(), interval_seconds=None, gpus=1, hourly_price=PRICE,
        )  # fmt: skip
        self.job.started_at = self.job.started_at or self.now
        self.session.add(self.row)
        self.session.flush()
        self.event("claimed", f"worker:{held.worker}", f"attempt {number} claimed by {held.worker}", attempt=number)
        self.now += timedelta(seconds=STARTUP)
        self.row.started_at = self.now
        self.event("started", f"worker:{held.worker}", f"attempt {number} started", attempt=number)
        self.train(held)

    def train(self, held: Held) -> None:
        """Add epochs until the attempt ends, or until now."""
        here = self.done
        until = self.total if held.until is None else held.until
        latest = datetime.now(UTC) if held.until is None else None
        while self.done + 1 <= until and (latest is None or self.now + timedelta(seconds=EPOCH_SECONDS) < latest):
            self.epoch()
        part = until - self.done if held.until is not None else 0.4
        self.now += timedelta(seconds=EPOCH_SECONDS * max(part, 0))
        self.row.end_step = round((self.done + max(part, 0)) * STEPS) if held.until is not None else None
        trained = (self.done - here) * EPOCH_SECONDS
        self.row.covered_seconds = trained * 0.86
        self.row.seconds = {
            "startup": STARTUP * 0.7, "data_loading": STARTUP * 0.2, "restore": STARTUP * 0.1,
            "training": trained * 0.88, "validation": trained * 0.09,
            "checkpoint_stall": trained * 0.01, "other": trained * 0.02,
        }  # fmt: skip
        if held.until is not None:
            self.close(held)

    def close(self, held: Held) -> None:
        """End the attempt."""
        self.row.finished_at = self.now
        used = usage.rows(self.job, self.row, self.now)
        self.session.add_all(used)
        self.job.gpu_us += sum(one.us for one in used)
        self.job.cost += sum(one.cost or 0 for one in used)
        number = self.row.number
        self.job.preemptions += held.state in ("preempted", "lost")
        self.job.failures += held.state == "failed"
        text = f"attempt {number} {held.state}" + (f": {held.message}" if held.message else "")
        actor = "conductor" if held.state == "lost" else f"worker:{held.worker}"
        self.event(f"attempt_{held.state}", actor, text, attempt=number, reason=held.reason)
        self.log(number, held)

    def log(self, number: int, held: Held) -> None:
        """Write the log of the training process."""
        lines = [
            f"2026-03-01 10:{k // 60:02}:{k % 60:02} epoch {k} of {self.total}: \x1b[32mloss\x1b[0m {3 / (k + 1):.4f}"
            for k in range(1, 90)
        ]
        lines += [HOSTILE, f"the end: {held.message or held.state}"]
        content = ("\n".join(lines) + "\n").encode()
        self.store.put(log_segment(self.job.id, number, self.job.fence, 0), content)
        if held.until is not None:
            self.store.put(log_segment(self.job.id, number, self.job.fence, len(content)), b"")

    def epoch(self) -> None:
        """Add an epoch and its checkpoint."""
        self.done += 1
        self.now += timedelta(seconds=EPOCH_SECONDS + self.random.uniform(-2, 3))
        stage, within = self.place(self.done)
        row = self.rows[stage]
        if row.state is None or row.state == "waiting":
            row.state, row.started_at = "active", self.now - timedelta(seconds=EPOCH_SECONDS)
            self.event(
                "stage_started",
                f"worker:{self.held.worker}",
                f"stage {row.stage} ({row.name}) started",
                stage=row.stage,
            )
        far = self.done / self.total
        dip = 0.06 * math.exp(-within / 2) * (stage > 0)
        noise = self.random.gauss(0, 0.006)
        accuracy = self.story.best * (1 - math.exp(-4 * far)) / (1 - math.exp(-4)) - dip + noise
        values = {
            "loss": 5.2 * math.exp(-2.1 * far) + 0.35 + dip * 4 + self.random.gauss(0, 0.03),
            "accuracy": min(0.999, max(0.0, accuracy * (0.86 + 0.2 * far))),
            "val_loss": 5.2 * math.exp(-1.9 * far) + 0.55 + dip * 5 + self.random.gauss(0, 0.05),
            "val_accuracy": min(0.999, max(0.0, accuracy)),
            "learning_rate": 1e-3 * math.sqrt(0.1) ** (int(far * 7)),
        }
        self.session.add(
            Epoch(
                job_id=self.job.id, epoch=self.done, fence=self.job.fence, stage=stage + 1, stage_epoch=within + 1,
                global_step=self.done * STEPS, image_size=row.image_size, batch_size=row.batch_size,
                attempt=self.row.number, seconds=EPOCH_SECONDS, finished_at=self.now,
                images_per_second=(880 if row.image_size < 40 else 410) + self.random.gauss(0, 9), **values,
            )
        )  # fmt: skip
        self.job.metrics = values
        if values["val_accuracy"] >= (self.job.best or {}).get("value", 0):
            self.job.best = {
                "metric": "val_accuracy",
                "value": values["val_accuracy"],
                "stage": stage + 1,
                "epoch": self.done,
            }
        self.event(
            "epoch", f"worker:{self.held.worker}", f"epoch {self.done} recorded", epoch=self.done, stage=stage + 1
        )
        self.save(stage, within)
        if within + 1 == row.epochs:
            row.state, row.finished_at = "succeeded", self.now
            self.event(
                "stage_finished",
                f"worker:{self.held.worker}",
                f"stage {row.stage} ({row.name}) finished",
                stage=row.stage,
            )

    def place(self, epoch: int) -> tuple[int, int]:
        """(stage, number of epochs before in the stage), both from 0."""
        before = epoch - 1
        for k, (_, _, _, epochs) in enumerate(self.story.stages):
            if before < epochs:
                return k, before
            before -= epochs
        raise AssertionError(epoch)

    def save(self, stage: int, within: int) -> None:
        """Add a checkpoint. All but the newest three are deleted."""
        step = self.done * STEPS
        kept = self.done > self.total - 3 or self.done % 11 == 0
        row = Checkpoint(
            id=new_id(), job_id=self.job.id, attempt_id=self.row.id, fence=self.job.fence, manifest_crc32c="0" * 8,
            prefix=checkpoint_prefix(self.job.id, step, self.job.fence, self.done), stage=stage, epoch=within + 1,
            step=0, global_step=step, bytes=int(61.3e6), seconds=1.4 + self.random.random(), stall_seconds=0.021,
            roles=["latest"], needs=[], state="committed" if kept else "deleted", committed_at=self.now,
            trained_seconds=1.0, collected_at=None if kept else self.now,
        )  # fmt: skip
        self.session.add(row)
        self.session.flush()
        self.session.merge(Pointer(job_id=self.job.id, role="latest", checkpoint_id=row.id))
        self.event("checkpoint", f"worker:{self.held.worker}", f"checkpoint at step {step} committed", global_step=step)

    def end(self) -> None:
        """Set the current state of the job."""
        story = self.story
        if story.held:
            stage, _ = self.place(max(1, min(self.done + (story.state != "succeeded"), self.total)))
            at = round(min(self.done + 0.4, self.total) * STEPS)
            self.job.progress = {
                "stage": stage + 1, "stages": len(story.stages), "epoch": min(self.done + 1, self.total),
                "epochs": self.total, "step": at % STEPS, "steps": STEPS, "global_step": at,
                "total_steps": self.total * STEPS, "images_per_second": 872.0,
                "eta_seconds": (self.total - self.done) * EPOCH_SECONDS,
            }  # fmt: skip
            self.files()
        if story.state == "running":
            self.job.phase = self.row.phase = "training"
            # This time is in the future, so that the worker does not become silent during a test.
            heard = -story.silent if story.silent else LEASE
            self.row.beat_at = datetime.now(UTC) + heard
            if story.silent:
                self.row.lease_expires_at = datetime.now(UTC) + timedelta(hours=1)
            self.log(self.row.number, self.held)
        if story.state in ("succeeded", "failed", "cancelled"):
            self.job.finished_at = self.now
            self.job.results = story.results
            self.event(story.state, "conductor", f"job {story.state}", reason=story.reason)
        if story.state == "paused":
            self.job.paused_at = self.now
            self.event("paused", "user", "job paused")
        if story.state in ("queued", "recovering"):
            self.job.attempts += 1
            self.session.add(
                Attempt(
                    id=new_id(),
                    job_id=self.job.id,
                    number=self.job.attempts,
                    state="queued",
                    not_before=self.now,
                    created_at=self.now,
                )
            )
            self.event("queued", "conductor", f"attempt {self.job.attempts} queued", attempt=self.job.attempts)

    def files(self) -> None:
        """Add the published files. Only the report has contents."""
        report = REPORT.read_bytes()
        for name, kind, size in (
            ("best.keras", "application/zip", 20_412_311),
            ("history.csv", "text/csv", 12_031),
            ("report.html", "text/html; charset=utf-8", len(report)),
        ):
            place = artifact_object(self.job.id, self.job.fence, 1, name)
            if name == "report.html":
                self.store.put(place, report)
            self.session.add(
                Artifact(
                    job_id=self.job.id, name=name, object=place, published=place, size=size, crc32c="0a1b2c3d",
                    content_type=kind, fence=self.job.fence, committed_at=self.now,
                )
            )  # fmt: skip
