"""The filters of job lists, as keyword arguments of the SDK."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict


class JobFilters(TypedDict, total=False):
    """Filters of a job list, all of which must match.

    `status`: one status, or several, any of which matches. `label`: `key:value`, or several, all of which must match.
    `name`: the name, or the beginning of it and a `*`. `id`: the beginning of the id. `metric`: bounds, such as
    `val_loss<0.5` for the last epoch and `best:val_loss<0.5` for the best one. Times: as datetime, or as text in ISO
    8601. `sort`: `created`, `ended`, `name`, `status` or `metric:NAME`, with `-` before it for the greatest first.
    """

    status: str | Sequence[str] | None
    label: str | Sequence[str] | None
    name: str | None
    id: str | None
    queue: str | None
    owner: str | None
    project: str | None
    created_after: datetime | str | None
    created_before: datetime | str | None
    ended_after: datetime | str | None
    ended_before: datetime | str | None
    metric: str | Sequence[str] | None
    sort: str | None


def query(filters: JobFilters, **more: Any) -> dict[str, Any]:
    """The parameters of a request. Times without a zone are of this machine's zone."""
    return {name: _value(value) for name, value in {**filters, **more}.items()}


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone().isoformat()
    return value if value is None or isinstance(value, str | int) else list(value)
