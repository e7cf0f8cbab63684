"""What a job used, and how it goes on after a limit."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.text import Text

from baton.domain.prices import rounded
from baton.domain.reasons import AT_A_LIMIT
from baton.domain.views import JobView


def cost_facts(job: JobView) -> Iterable[tuple[str, Text]]:
    """Lines of `baton status`."""
    parts = [f"{job.gpu_hours:,.2f} GPU hours"] if job.gpu_hours else []
    if job.cost is not None:
        parts.append(" ".join(filter(None, (rounded(job.cost), job.currency))))
    if parts:
        yield "used", Text(", ".join(parts))
    if job.status == "paused" and job.reason in AT_A_LIMIT:
        named = re.search(r"\((limits[.a-z_]+)\)", job.message or "")
        field = named[1] if named else "limits.max_runtime"
        yield "to go on", Text(f"baton edit {job.id[:12]} --set {field}=MORE, then baton resume {job.id[:12]}")
