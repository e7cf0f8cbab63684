"""The body of a submission: JSON without NaN and infinity, or YAML without aliases and tags."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import Field, ValidationError

from baton.domain.errors import SpecError
from baton.domain.overrides import apply_overrides
from baton.domain.validation import Model, field_errors
from baton.domain.yaml_text import BadYaml, read_yaml
from service.api.body_checks import checked_text
from service.errors import MalformedBody, UnsupportedMedia
from service.usecases.plans import plan_spec

JSON_TYPES = ("application/json",)
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
MAX_YAML = 256 << 10


async def decoded_body(request: Request) -> Any:
    """The decoded body. Raises MalformedBody, UnsupportedMedia."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    raw = await request.body()
    if media in JSON_TYPES or media.endswith("+json"):
        return checked_text(_json(raw))
    if media in YAML_TYPES:
        return checked_text(_yaml(raw))
    raise UnsupportedMedia("send the spec with 'Content-Type: application/json' or 'application/yaml'")


Body = Annotated[Any, Depends(decoded_body)]
SUBMISSION = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("JobSpec", "PlanRequest")]}
EXAMPLES = {
    "plan": {"summary": "A published plan", "value": {"plan": "digits-demo", "set": {"stages.0.epochs": 2}}},
    "spec": {"summary": "A spec", "value": plan_spec("digits-demo")},
}
SPEC_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A job spec, or a plan with changes: {plan: NAME, set: {path: value}}",
        "content": {
            "application/json": {"schema": SUBMISSION, "examples": EXAMPLES},
            "application/yaml": {"schema": SUBMISSION},
        },
    }
}


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedBody(f"the body is not JSON: {error}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not valid in JSON")


def _yaml(raw: bytes) -> Any:
    if len(raw) > MAX_YAML:
        raise MalformedBody(f"the YAML body is larger than {MAX_YAML} bytes; send JSON instead")
    try:
        return read_yaml(raw)
    except BadYaml as error:
        raise MalformedBody(f"the body is not supported YAML: {error}") from None


class PlanRequest(Model):
    """A published plan, and changes to it: dotted path -> value, `*` for every member of a list."""

    plan: str
    set: dict[str, Any] = Field(default_factory=dict)


def requested_spec(body: Any) -> Any:
    """The spec that a body asks for: itself, or a plan with changes. Raises SpecError."""
    request = requested_plan(body)
    return body if request is None else apply_overrides(plan_spec(request.plan), request.set)


def requested_plan(body: Any) -> PlanRequest | None:
    """The plan that a body names, if it names one. Raises SpecError."""
    if not isinstance(body, dict) or "plan" not in body:
        return None
    try:
        return PlanRequest.model_validate(body)
    except ValidationError as error:
        raise SpecError(field_errors(error)) from None
