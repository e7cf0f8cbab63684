"""The OpenAPI document: with the problem schema, without FastAPI's own error schemas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from baton.domain.job_changes import JobChange
from baton.domain.open_enums import CODE, open_set
from baton.domain.spec import JobSpec, ProgramJobSpec
from baton.domain.views import ProblemView
from service.api.auth import SCHEMES
from service.api.openapi_texts import DESCRIPTION, SUMMARY, TITLE, tag_descriptions
from service.api.problems import PROBLEMS
from service.api.submission_body import CloneRequest, FromRequest, PlanRequest

SCHEMA_NAMES = {"NotificationKind": "Notice"}
"""Schema names that differ from the class names. They must not change, because clients are generated from them."""
LATER = {"showReport"}
"""Operations without a link, because they find nothing right after the answer: a new job has no report."""

UNUSED = ("HTTPValidationError", "ValidationError")
REFERENCE = "#/components/schemas/{model}"
FROM_JOB, FROM_ATTEMPT = "$response.body#/id", "$response.body#/items/0/id"


def document(version: str, routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The OpenAPI document of these routes."""
    found = get_openapi(
        title=TITLE,
        version=version,
        summary=SUMMARY,
        description=DESCRIPTION,
        tags=tag_descriptions(),
        routes=routes,
    )
    schemas = found["components"]["schemas"]
    for name in UNUSED:
        schemas.pop(name, None)
    for model in (ProblemView, JobSpec, ProgramJobSpec, PlanRequest, CloneRequest, FromRequest, JobChange):
        schema = model.model_json_schema(ref_template=REFERENCE)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    for name, kept in SCHEMA_NAMES.items():
        schemas[kept] = {**schemas.pop(name), "title": kept}
    schemas["ProblemView"]["properties"]["code"] = open_set(PROBLEMS, "The code of the problem.", CODE)
    found["components"]["securitySchemes"] = SCHEMES
    # OpenAPI links. They show which answers contain the ids that other operations need.
    _link_from(found["paths"], "/v1/jobs", "post", ("201", "200"), "job_id", FROM_JOB)
    _link_from(found["paths"], "/v1/jobs/{job_id}/attempts", "get", ("200",), "attempt_id", FROM_ATTEMPT)
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


def _link_from(
    paths: dict[str, Any], path: str, method: str, statuses: tuple[str, ...], parameter: str, value: str
) -> None:
    operations = [
        one["operationId"] for name, item in paths.items() if f"{{{parameter}}}" in name for one in item.values()
    ]
    linked = [name for name in operations if name not in LATER]
    links = {name: {"operationId": name, "parameters": {parameter: value}} for name in linked}
    for status in statuses:
        paths[path][method]["responses"][status]["links"] = links
