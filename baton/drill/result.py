"""The whole result of a drill of a program, for `--json`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from baton.drill.compare import END, Difference, digests
from baton.drill.drill import Outcome
from baton.drill.record import RunRecord


def versions(record: RunRecord) -> dict[str, str]:
    """The versions of Baton, of the machine, and of what the program has loaded."""
    try:
        own = version("baton-train")
    except PackageNotFoundError:
        own = "unknown"
    return {"baton": own, "machine": platform.machine(), **record.versions}


def result(outcome: Outcome) -> dict[str, Any]:
    """The whole result for `--json`."""
    comparison, diagnosis = outcome.comparison, outcome.diagnosis
    return {
        "format": 1,
        "verdict": outcome.verdict,
        "command": list(outcome.program.command),
        "params": dict(outcome.program.params),
        "seed": outcome.options.seed,
        "ignored": list(outcome.options.ignored),
        "versions": versions(outcome.whole),
        "schedule": [one.view() for one in outcome.schedule],
        "compared": dict(comparison.counted),
        "first_difference": difference_view(comparison.first),
        "first_checkpoint": difference_view(comparison.first_checkpoint),
        "differences": [difference_view(one) for one in comparison.differences],
        "diagnosis": None if diagnosis is None else diagnosis.view(),
        "runs": [_run(one) for one in (outcome.whole, outcome.broken, outcome.again) if one is not None],
    }


def difference_view(one: Difference | None) -> dict[str, Any] | None:
    """A difference as JSON. The step of final files is None."""
    if one is None:
        return None
    return {**vars(one), "step": None if one.step == END else int(one.step)}


def _run(record: RunRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "seconds": round(record.seconds, 3),
        "counts": record.totals,
        "checkpoints": [save.step for save in record.saves],
        "attempts": [
            {
                "status": one.status,
                "moved": one.moved,
                "seconds": round(one.seconds, 3),
                "from_step": next((event["step"] for event in one.events if event["kind"] == "start"), None),
                "interruptions": [vars(act) for act in one.acts],
            }
            for one in record.attempts
        ],
        "digests": digests(record),
    }
