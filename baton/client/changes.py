"""Calls of the Python SDK that change jobs: one job by a patch, or many jobs by one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from baton.client.job import Job
from baton.client.transport import RetryPolicy, Transport
from baton.domain.bulk_views import BulkPreview, BulkView

if TYPE_CHECKING:
    from baton.client.client import Client

BULK = "/v1/jobs:bulk"
REASONS = 100


class ChangeCalls:
    """The calls that change jobs. They need the scope submit. Raise `Unreachable` and `ApiError`."""

    _transport: Transport

    def change(self, job_id: str, changes: Mapping[str, Any], *, version: int | None = None) -> Job:
        """Changes name, labels, notes, priority, protected, limits, notify, checkpoint or retry of a job.

        `changes`: a JSON merge patch: None removes a label or restores a default. `version`: the change is made only if
        the job still has this version.

        Raises:
            ApiError: status 422 if a field cannot be changed; status 412 if the job has another version.

        >>> job = client.submit_plan("digits-demo", {"labels": {"draft": "yes"}})
        >>> changed = client.change(job.id, {"priority": "high", "labels": {"draft": None}, "notes": "for the paper"})
        >>> changed.priority, changed.labels, changed.notes
        ('high', {}, 'for the paper')
        """
        headers = {} if version is None else {"If-Match": f'W/"{version}"'}
        answer = self._transport.request("PATCH", f"/v1/jobs/{quote(job_id, safe='')}", json=changes, headers=headers)
        return Job.model_validate_json(answer.content).of(cast("Client", self))

    def preview_jobs(
        self, action: str, which: Mapping[str, Any], *, labels: Mapping[str, str | None] | None = None
    ) -> BulkPreview:
        """How many jobs `act_on_jobs` would change with the same arguments, and the first of them."""
        body = {"action": action, "preview": True, **which, **({"labels": dict(labels)} if labels else {})}
        return self._bulk(body).preview or BulkPreview(number=0, more=False, jobs=[])

    def act_on_jobs(
        self,
        action: str,
        which: Mapping[str, Any],
        *,
        labels: Mapping[str, str | None] | None = None,
        expect: int | None = None,
    ) -> BulkView:
        """Does an action on many jobs, such as cancel, pause, resume or label, and returns the counts.

        `which`: `{"ids": [...]}`, `{"filter": {"status": [...], "label": ["key:value"], "name": "net-*"}}` or
        `{"all": True}`. `labels`: what the action `label` sets; None removes a label. `expect`: the number of jobs that
        a preview showed.

        Raises:
            ApiError: status 409 if another number of jobs than `expect` matches.

        >>> job = client.submit_plan("digits-demo", {"labels": {"sweep": "one"}})
        >>> client.act_on_jobs("cancel", {"filter": {"label": ["sweep:one"]}}).done
        1
        """
        body = {"action": action, **which, **({"labels": dict(labels)} if labels else {}), "expect": expect}
        total = self._bulk(body)
        while total.next_cursor is not None:
            part = self._bulk({**body, "cursor": total.next_cursor})
            sums = {name: getattr(total, name) + getattr(part, name) for name in ("done", "unchanged", "skipped")}
            total = part.model_copy(update={**sums, "reasons": [*total.reasons, *part.reasons][:REASONS]})
        return total

    def _bulk(self, body: Mapping[str, Any]) -> BulkView:
        # A repeated call changes nothing more.
        answer = self._transport.request("POST", BULK, json=body, patience=RetryPolicy())
        return BulkView.model_validate_json(answer.content)
