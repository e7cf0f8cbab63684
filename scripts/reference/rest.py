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

SPECS = ("JobSpec", "ProgramJobSpec")
"""Models with a section on the page of the job spec."""

INTRODUCTION = """
All calls of the service's REST API. The full contract, with the fields of each answer, is the OpenAPI document of a
running service at `/openapi.json`; `/docs` shows it as a page. Send the token in the header `Authorization: Bearer
TOKEN`. Each call below names the scope that it needs; [Access](access.md) describes scopes. Times are ISO 8601 in UTC,
sizes are in bytes, durations in seconds.

Answers are JSON. Errors are `application/problem+json` (RFC 9457) with `code`, `detail` and `errors`. A `code` never
changes its meaning, `detail` is text for people, and `errors` names fields. A request body has at most 1 MiB.
`POST /v1/jobs` also accepts YAML (`Content-Type: application/yaml`). With an `Idempotency-Key` a client can repeat it.
What belongs to another [project](../how-to/teams.md) than the token is 404. With the header `Baton-Project: NAME` an
administrator acts in one project.

## Fields of a job's status

- `metrics`: those of the last finished epoch, from the newest row of the history. Empty before the first row.
- `progress`: the worker's last report. Within an attempt it never goes back, even if heartbeats arrive in another
  order. The next attempt continues from its checkpoint, so `progress` may then go back. `progress.metrics`: numbers in
  that report, which usually are not in the history yet.
- `progress` of a program: `stage`, `stages`, `step` and `steps` are 0, because a program has no stages. `epochs` and
  `total_steps` are 0 if the program does not know them; then `fraction` is 0 too.
- `progress.images_per_second` and `progress.eta_seconds`: null unless a worker trains now and its heartbeats arrive. So
  they are null for a job that is paused, queued, recovering or ended.
- `beat_at`: the last heartbeat of the worker that holds the job. Null if no worker holds it.
- `silent_seconds`: the age of that heartbeat. Null while it is below 1.5 heartbeat intervals (15 s by default).
- `lease_expires_at`: when another worker gets the job, if no heartbeat arrives before.
- `as_of`: the time of the answer by the service's clock. Clients compute ages from it and need no correct clock.
- `goodput`: seconds by bucket, see [Where a job's time goes](../explanation/goodput.md).

`version` grows with each change. Two changes appear without a new version: `waiting_for` and `silent_seconds`. Both
change the `ETag`, and `?wait` ends when a worker's heartbeat becomes late. Seconds that only grow do not change the
`ETag`. An attempt has `beat_at` and `silent_seconds` too.

All times that are stored and compared come from the database's clock: claims, leases, events, checkpoints, epochs
(`finished_at` is the time when the service recorded the row; a repeated call does not change it). Times of a worker's
clock are only informational: `created_at` in a checkpoint's manifest, `finished_at` in the files `history.csv` and
`report.html`, and the times in logs.
"""
SENTENCES = {
    "database-unavailable": (
        503,
        "The database does not answer, or not in time. Repeat the request after `Retry-After`",
    ),
    "store-unavailable": (503, "The store does not answer. Repeat the request after `Retry-After`"),
    "not-ready": (
        503,
        "`GET /readyz`: `errors` names the dependencies that do not answer or accept no writes, and the next step",
    ),
    "disk-full": (503, "A disk of the service is full; `detail` names it. Repeat the request after `Retry-After`"),
    "internal-error": (500, "An internal error of the service; its log has the details"),
    "method-not-allowed": (405, "`Allow` lists the methods of the path"),
}


def document() -> dict[str, Any]:
    """The OpenAPI document, from an app that is never started."""
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
    sections = [
        "\n\n".join([f"## {group.capitalize()}", *(_call(*call) for call in calls if _group(call[0]) == group)])
        for group in groups
    ]
    return page("REST", INTRODUCTION, *sections, _errors())


def _group(path: str) -> str:
    parts = [part for part in path.replace(":", "/").split("/") if part]
    return parts[1] if parts[0] == "v1" else "health"


def _call(path: str, method: str, operation: dict[str, Any]) -> str:
    text = " ".join(operation.get("description", operation.get("summary", "")).split()).replace("<", "\\<")
    lines = [f"### {method.upper()} {path}", text, f"{_scope(operation)} {_body(operation)}".strip()]
    rows = [(code(p["name"]), p["in"], shape(p["schema"]), _meaning(p)) for p in operation.get("parameters", [])]
    if rows:
        lines.append(table(("parameter", "in", "values", "meaning"), rows))
    return "\n\n".join([*lines, f"Answers: {_answers(operation['responses'])}."])


def _meaning(parameter: dict[str, Any]) -> str:
    return str(parameter.get("description") or ("required" if parameter.get("required") else ""))


def _scope(operation: dict[str, Any]) -> str:
    scopes = [f"`{scope}`" for one in operation.get("security", []) for found in one.values() for scope in found]
    return f"Scope: {' or '.join(dict.fromkeys(scopes))}." if scopes else "Public, without a token."


def _body(operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    names = {_model(media.get("schema", {})) for media in content.values()} - {""}
    return f"Body: {', '.join(sorted(names))}." if names else ""


def _model(schema: dict[str, Any]) -> str:
    parts = [schema, *schema.get("anyOf", []), *schema.get("oneOf", [])]
    names = [part["$ref"].rpartition("/")[2] for part in parts if "$ref" in part]
    return " or ".join(f"[{name}](job-spec.md#{name.lower()})" if name in SPECS else f"`{name}`" for name in names)


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
    rows += [(code(name), str(status), text) for name, (status, text) in SENTENCES.items()]
    return "## Errors\n\n" + table(("code", "status", "when"), sorted(rows, key=lambda row: (row[1], row[0])))
