"""The contract as OpenAPI: with the problem schema, without FastAPI's own error schemas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from baton.domain.open_enums import CODE, open_set
from baton.domain.spec import JobSpec
from baton.domain.views import ProblemView
from service.api.auth import SCHEMES
from service.api.problems import PROBLEMS
from service.api.submission_body import PlanRequest

SCHEMA_NAMES = {"NotificationKind": "Notice"}
"""Classes whose schema keeps another name: clients are generated from the document."""
UNUSED = ("HTTPValidationError", "ValidationError")
REFERENCE = "#/components/schemas/{model}"
FROM_JOB, FROM_ATTEMPT = "$response.body#/id", "$response.body#/items/0/id"


def described(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """A function that makes the document once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    return document


def _document(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        tags=app.openapi_tags,
        routes=app.routes,
    )
    schemas = found["components"]["schemas"]
    for name in UNUSED:
        schemas.pop(name, None)
    for model in (ProblemView, JobSpec, PlanRequest):
        schema = model.model_json_schema(ref_template=REFERENCE)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    for name, kept in SCHEMA_NAMES.items():
        schemas[kept] = {**schemas.pop(name), "title": kept}
    schemas["ProblemView"]["properties"]["code"] = open_set(PROBLEMS, "Which problem it is.", CODE)
    found["components"]["securitySchemes"] = SCHEMES
    _link(found["paths"])
    return dict(_with_schema_names(found))


def _with_schema_names(node: Any) -> Any:
    """The document with its references to SCHEMA_NAMES changed."""
    if isinstance(node, dict):
        return {key: _with_schema_names(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_schema_names(value) for value in node]
    for name, kept in SCHEMA_NAMES.items():
        if node == REFERENCE.format(model=name):
            return REFERENCE.format(model=kept)
    return node


def _link(paths: dict[str, Any]) -> None:
    """Say which answers have the ids that other calls take (OpenAPI's links)."""
    _link_from(paths, "/v1/jobs", "post", ("201", "200"), "job_id", FROM_JOB)
    _link_from(paths, "/v1/jobs/{job_id}/attempts", "get", ("200",), "attempt_id", FROM_ATTEMPT)


def _link_from(
    paths: dict[str, Any], path: str, method: str, statuses: tuple[str, ...], parameter: str, value: str
) -> None:
    operations = [
        one["operationId"] for name, item in paths.items() if f"{{{parameter}}}" in name for one in item.values()
    ]
    links = {name: {"operationId": name, "parameters": {parameter: value}} for name in operations}
    for status in statuses:
        paths[path][method]["responses"][status]["links"] = links
