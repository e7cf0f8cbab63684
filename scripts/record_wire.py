"""Records the messages between worker and service in the format of a release, for tests of later releases.

    python scripts/record_wire.py CHECKOUT FOLDER

CHECKOUT is a working tree of the release. The `wire` module of the release creates the messages. FOLDER gets a JSON
file for each message, with `samples` by name, as that release writes them, and `schema`, the JSON schema of what that
release reads. Messages and fields that the release does not have are left out. Fails if the release has a message
without a sample here.

The ids are placeholders. A test replaces them by the ids of its job and attempt.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

JOB, ATTEMPT = "1" * 32, "2" * 32
FENCE = 1
MOST, MOST_32 = 2**53, 2**31 - 1
LONG = "ü" * 20_000
PREFIX = f"jobs/{JOB}/checkpoints/0000000007-{FENCE}-1"
# The longest allowed path of a checkpoint: the number of a save may have any number of digits.
LONG_PREFIX = f"jobs/{JOB}/checkpoints/{MOST}-{FENCE}-" + "9" * 80
POSITION = {"stage": 0, "epoch": 0, "step": 7, "global_step": 7}
WORKER = {
    "name": "box-7",
    "host": "box",
    "pid": 7,
    "version": "0.1.0",
    "device": "NVIDIA L4",
    "extensions": ["network/n"],
}
LONG_WORKER = {
    "name": "ä" * 200,
    "host": "h" * 255,
    "pid": MOST,
    "version": "9" * 50,
    "device": "d" * 200,
    "extensions": [f"dataset/{number:063}" for number in range(500)],
}
PROGRESS = {
    "stage": 1, "stages": 2, "epoch": 1, "epochs": 3, "step": 7, "steps": 10, "global_step": 7, "total_steps": 30,
    "images_per_second": 123.5, "eta_seconds": 60.25,
}  # fmt: skip
ROW = {
    "epoch": 1, "stage": 1, "stage_epoch": 1, "global_step": 10, "image_size": 16, "batch_size": 64,
    "learning_rate": 1e-3, "loss": 2.5, "accuracy": 0.5, "val_loss": 2.25, "val_accuracy": 0.25, "attempt": 1,
    "seconds": 1.5, "images_per_second": 100.0, "finished_at": "2026-01-01T00:00:00Z",
}  # fmt: skip
SPEC = {
    "name": "small", "network": {"name": "network-2", "width": 0.1}, "dataset": {"name": "digits"},
    "stages": [{"image_size": 16, "batch_size": 64, "epochs": 2}],
}  # fmt: skip
BEST = {"metric": "val_loss", "value": "NaN", "stage": 1, "epoch": 1}
NOT_FINITE = {"learning_rate": "Infinity", "loss": "NaN", "val_loss": "-Infinity", "val_accuracy": "NaN"}
NOTES = ("notice", "report_failed", "restored", "resumed_inexactly")
OUTCOMES = {
    "succeeded": {"outcome": "succeeded", "results": {"test_accuracy": 0.5, "test_loss": "NaN"}},
    "preempted": {"outcome": "preempted", "reason": "preempted", "message": "SIGTERM", "phase": "stopping"},
    "paused": {"outcome": "paused", "reason": "paused"},
    "cancelled": {"outcome": "cancelled", "reason": "cancelled"},
    "unreadable": {
        "outcome": "failed", "reason": "unsupported", "phase": "starting", "fault": "core.domain.errors.SpecError",
        "message": "this worker cannot run the spec: limits: is not a known field",
    },
    "extreme": {
        "outcome": "failed", "reason": "exception", "message": LONG, "results": {"x": "NaN"}, "progress": PROGRESS,
        "seconds": {"training": 1e10}, "phase": "training", "at_step": MOST, "fault": "f" * 500,
    },
}  # fmt: skip
COMMIT = {"prefix": PREFIX, "manifest_crc32c": "0a1b2c3d", "position": POSITION, "bytes": 10, "seconds": 0.5}
GRANT = {
    "attempt_id": ATTEMPT, "job_id": JOB, "attempt": 1, "fence": FENCE, "lease_seconds": 30.0,
    "heartbeat_seconds": 10.0, "spec": SPEC, "checkpoints": [], "seconds_between_interruptions": 3600.0,
    "token": "t" * 40,
}  # fmt: skip
CHECKPOINT = {"id": "3" * 32, "prefix": PREFIX, "manifest_crc32c": "0a1b2c3d", "position": POSITION, "fence": FENCE}

TO_SERVICE: dict[str, dict[str, dict[str, Any]]] = {
    "WorkerReport": {
        "typical": {**WORKER, "queues": ["default"], "busy": False},
        "extreme": {**LONG_WORKER, "queues": ["q" * 63] * 50, "busy": True, "rest": {"seconds": 1e10, "why": "ü" * 99}},
    },
    "NextRequest": {
        "typical": {"worker": WORKER, "queues": ["default"], "wait_seconds": 0.0},
        "extreme": {"worker": LONG_WORKER, "queues": [f"q{k}" for k in range(50)], "wait_seconds": 0.0},
    },
    "Claim": {
        "typical": {"claim_id": "c" * 32, "worker": WORKER},
        "extreme": {"claim_id": "c" * 64, "worker": LONG_WORKER},
    },
    "Heartbeat": {
        **{
            phase: {"fence": FENCE, "phase": phase}
            for phase in ("starting", "loading", "restoring", "training", "validating", "evaluating", "stopping")
        },
        "extreme": {
            "fence": FENCE, "phase": "training", "progress": PROGRESS, "metrics": {"loss": "NaN", "x": "-Infinity"},
            "seconds": {f"bucket-{k}": 1e10 for k in range(50)}, "interval_seconds": 1e9, "doing": "ü" * 500,
        },
    },
    "CheckpointCommit": {
        "typical": {"fence": FENCE, **COMMIT, "roles": ["latest"]},
        "extreme": {
            "fence": FENCE, **COMMIT, "prefix": LONG_PREFIX, "bytes": MOST, "seconds": 1e10, "stall_seconds": 1e10,
            "position": {"stage": 1000, "epoch": MOST_32, "step": MOST, "global_step": MOST}, "trained_seconds": 1e10,
            "roles": ["latest", "stage_best", "best"],
        },
    },
    "EpochRecord": {
        "typical": {"fence": FENCE, "row": ROW, "stage_finished": False},
        "extreme": {"fence": FENCE, "row": {**ROW, **NOT_FINITE}, "best": BEST, "stage_finished": True},
    },
    "ArtifactCommit": {
        "typical": {
            "fence": FENCE, "name": "best.keras", "object": f"jobs/{JOB}/versions/{FENCE}-1/best.keras", "size": 5,
            "crc32c": "0a1b2c3d", "content_type": "application/octet-stream",
        },
    },
    "Note": {
        **{kind: {"fence": FENCE, "kind": kind, "message": "x", "data": {"a": 1}} for kind in NOTES},
        "extreme": {"fence": FENCE, "kind": "a" * 50, "message": LONG, "data": {"a": [{"b": None}]}},
    },
    "Quarantine": {"typical": {"fence": FENCE, "prefix": PREFIX, "message": "has other bytes"}},
    "Finish": {name: {"fence": FENCE, **ending} for name, ending in OUTCOMES.items()},
}  # fmt: skip
TO_WORKER: dict[str, dict[str, dict[str, Any]]] = {
    "Offer": {"nothing": {"attempt_id": None}, "typical": {"attempt_id": ATTEMPT}},
    "Grant": {
        "typical": GRANT,
        "extreme": {**GRANT, "fence": MOST, "checkpoints": [CHECKPOINT] * 100, "seconds_between_interruptions": 1e300},
        "without_token": {**GRANT, "token": None},
    },
    "Beat": {name: {"directive": name, "lease_seconds": 30.0} for name in ("continue", "pause", "cancel")},
}
PARTS = {
    "Message", "Fenced", "WorkerInfo", "Position", "Progress", "CheckpointRef", "BestMetric", "EpochRow",
    "ClassifierRow", "GrantHead", "Rest",
}  # fmt: skip
"""Classes that are not messages, or that are only parts of other messages."""


def main() -> int:
    """Write the files. Exit status 2 if a message of the release has no sample."""
    checkout, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    sys.path.insert(0, str(checkout))
    # Releases before 0.2 have the domain in the package `core`.
    package = "baton" if (checkout / "baton").is_dir() else "core"
    wire = importlib.import_module(f"{package}.domain.wire")
    if not Path(str(wire.__file__)).is_relative_to(checkout):
        raise SystemExit(f"{wire.__file__} was imported, but it is not in {checkout}")
    there = {name for name, one in vars(wire).items() if isinstance(one, type) and issubclass(one, wire.Message)}
    if missing := there - PARTS - {*TO_SERVICE, *TO_WORKER}:
        print(f"add samples of these messages to {__file__}: {', '.join(sorted(missing))}", file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    for receiver, messages in (("service", TO_SERVICE), ("worker", TO_WORKER)):
        for name in sorted(there & {*messages}):
            text = _recorded(getattr(wire, name), receiver, messages[name])
            (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return 0


def _recorded(message: Any, receiver: str, samples: dict[str, dict[str, Any]]) -> str:
    made = {name: json.loads(message.model_validate(values).model_dump_json()) for name, values in samples.items()}
    found = {"to": receiver, "samples": made, "schema": message.model_json_schema()}
    return json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
