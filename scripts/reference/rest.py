"""docs/reference/rest.md from the OpenAPI document."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import SecretStr

from scripts.reference.markdown import code, page, table
from scripts.reference.schema import shape
from service.api.problems import STATUS, TITLES

INTRODUCTION = """
Every call of the service's REST interface, for whoever writes a client. The whole contract, with the fields of each
answer, is the OpenAPI document that a running service gives at `/openapi.json`, and to look at, at `/docs`. A token
goes into the header `Authorization: Bearer TOKEN`; which scope a call needs stands beside it, and [Access](access.md)
says the rest about scopes. Times are ISO 8601 in UTC, sizes bytes, durations seconds.

Answers are JSON. Errors are `application/problem+json` (RFC 9457) with `code`, which never changes, `detail` in
words, and `errors` naming fields. A body is 1 MiB at most. `POST /v1/jobs` takes YAML too (`Content-Type:
application/yaml`), and with an `Idempotency-Key` it can be repeated.

## What a job's status says

- `metrics`: of the last finished epoch, those of the newest row of the history and never older; empty before the
  first row.
- `progress`: what the worker told last. Within an attempt it never goes back, in whatever order heartbeats arrive; the
  next attempt goes on from its checkpoint. `progress.metrics`: numbers that the worker told with it, as a rule not
  recorded yet.
- `progress.images_per_second` and `progress.eta_seconds`: null unless a worker trains now and its heartbeats come, so
  null in a job that is paused, queued, recovering or ended.
- `beat_at`: the last heartbeat of the worker that holds the job; null where no worker does.
- `silent_seconds`: the age of that heartbeat, from 1.5 heartbeat intervals on (15 s by default); null before.
- `lease_expires_at`: when another worker gets the job, unless a heartbeat comes before.
- `as_of`: the service's time of the answer, for the age of whatever has a time: no clock of the caller's is needed.
- `goodput`: seconds by bucket, see [Where a job's time goes](../explanation/goodput.md).

`version` grows with each change. Two things show without a new version: `waiting_for` and `silent_seconds`. Both change
the `ETag`, and `?wait` ends when a worker falls silent; the seconds themselves count on under the same tag. An attempt
has `beat_at` and `silent_seconds` too.

All times that are stored and compared come from the database's clock: claims, leases, events, checkpoints, epochs
(`finished_at` is when the service recorded the row; a repeated call keeps it). What a worker's clock says is only
informational: `created_at` in a checkpoint's manifest, `finished_at` in the files `history.csv` and `report.html`, and
the times in logs.
"""
SENTENCES = {
    "database-unavailable": (503, "The database does not answer, or not in time; repeat it after `Retry-After`"),
    "store-unavailable": (503, "The store does not answer; repeat it after `Retry-After`"),
    "not-ready": (503, "`GET /readyz`: `errors` names what does not answer or takes no write, and what to do"),
    "disk-full": (503, "A disk of the service is full; `detail` says which. Repeat it after `Retry-After`"),
    "internal-error": (500, "A mistake of the service; its log says more"),
    "method-not-allowed": (405, "`Allow` says which methods the path has"),
}


def document() -> dict[str, Any]:
    """The OpenAPI document of a service that never starts."""
    from service.app import create_app
    from service.settings import Settings

    with TemporaryDirectory() as folder:
        database = f"sqlite:///{Path(folder) / 'none.db'}"
        made = create_app(Settings(token=SecretStr("x" * 16), database_url=database))
        return dict(made.openapi())


def rest_page() -> str:
    """The page."""
    found = document()
    calls = [(path, method, one) for path, item in found["paths"].items() for method, one in item.items()]
    groups = dict.fromkeys(_group(path) for path, _, _ in calls)
    sections = [_section(group, [c for c in calls if _group(c[0]) == group]) for group in groups]
    return page("REST", INTRODUCTION, *sections, _errors())


def _group(path: str) -> str:
    parts = [part for part in path.replace(":", "/").split("/") if part]
    return parts[1] if parts[0] == "v1" else "health"


def _section(group: str, calls: list[tuple[str, str, dict[str, Any]]]) -> str:
    return f"## {group.capitalize()}\n\n" + "\n\n".join(_call(*call) for call in calls)


def _call(path: str, method: str, operation: dict[str, Any]) -> str:
    told = " ".join(operation.get("description", operation.get("summary", "")).split()).replace("<", "\\<")
    lines = [f"### {method.upper()} {path}", told, f"{_scope(operation)} {_body(operation)}".strip()]
    rows = [(code(p["name"]), p["in"], shape(p["schema"]), _told(p)) for p in operation.get("parameters", [])]
    if rows:
        lines.append(table(("parameter", "in", "values", "meaning"), rows))
    return "\n\n".join([*lines, f"Answers: {_answers(operation['responses'])}."])


def _told(parameter: dict[str, Any]) -> str:
    return str(parameter.get("description") or ("required" if parameter.get("required") else ""))


def _scope(operation: dict[str, Any]) -> str:
    scopes = [f"`{scope}`" for one in operation.get("security", []) for found in one.values() for scope in found]
    return f"Scope: {' or '.join(dict.fromkeys(scopes))}." if scopes else "Open to everybody."


def _body(operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    names = {_model(media.get("schema", {})) for media in content.values()} - {""}
    return f"Body: {', '.join(sorted(names))}." if names else ""


def _model(schema: dict[str, Any]) -> str:
    parts = [schema, *schema.get("anyOf", []), *schema.get("oneOf", [])]
    names = [part["$ref"].rpartition("/")[2] for part in parts if "$ref" in part]
    return " or ".join("[JobSpec](job-spec.md#jobspec)" if name == "JobSpec" else f"`{name}`" for name in names)


def _answers(responses: dict[str, Any]) -> str:
    found = []
    for status, response in responses.items():
        if int(status) < 400:
            models = {_model(media.get("schema", {})) for media in response.get("content", {}).values()} - {""}
            found.append(f"{status} {', '.join(sorted(models))}".strip())
    refused = sorted(status for status in responses if int(status) >= 400)
    return ", ".join(found) + (f"; refused with {', '.join(refused)}" if refused else "")


def _errors() -> str:
    rows = [(code(name), str(status), TITLES.get(name, HTTPStatus(status).phrase)) for name, status in STATUS.items()]
    rows += [(code(name), str(status), told) for name, (status, told) in SENTENCES.items()]
    return "## Errors\n\n" + table(("code", "status", "when"), sorted(rows, key=lambda row: (row[1], row[0])))
