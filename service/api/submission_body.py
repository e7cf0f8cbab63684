"""The body of a submission: JSON without NaN and infinity, or YAML without aliases and tags."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema

from baton.domain.errors import SpecError
from baton.domain.overrides import apply_overrides
from baton.domain.validation import Model, field_errors
from baton.domain.yaml_text import BadYaml, read_yaml
from service.api.body_checks import checked_text
from service.db.engine import Database
from service.db.unit_of_work import Unit
from service.errors import MalformedBody, UnsupportedMedia
from service.usecases.origins import Origin, changed_spec
from service.usecases.plans import plan_spec

JSON_TYPES = ("application/json",)
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
MAX_YAML = 256 << 10
MAX_STEP = 2**53


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
MODELS = ("JobSpec", "ProgramJobSpec", "PlanRequest", "CloneRequest", "FromRequest")
SUBMISSION = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in MODELS]}
PROGRAM = {
    "name": "finetune",
    "program": {"command": ["python", "train.py"]},
    "params": {"lr": 3e-4},
    "monitor": {"metric": "val_loss", "mode": "min"},
}
EXAMPLES = {
    "plan": {"summary": "A published plan", "value": {"plan": "digits-demo", "set": {"stages.0.epochs": 2}}},
    "spec": {"summary": "A spec", "value": plan_spec("digits-demo")},
    "program": {"summary": "A program", "value": PROGRAM},
}
SPEC_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A job spec; or changes to a plan, to the spec of a job (`clone`), or to its state too (`from`)",
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

    @property
    def origin(self) -> None:
        """It names no job."""


class _JobRequest(Model):
    set: dict[str, Any] = Field(default_factory=dict)
    name: str | None = None
    """The name of the new job; left out: that of the other job."""


class CloneRequest(_JobRequest):
    """The spec of another job, and changes to it as for a plan."""

    clone: Annotated[str, Field(max_length=64)]
    """The id of the other job."""

    @property
    def origin(self) -> Origin:
        """The job that is named."""
        return Origin(self.clone)


def _point(value: object) -> object:
    step = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STEP
    if not step and value not in ("latest", "best"):
        raise ValueError("must be latest, best, or the global step of a checkpoint")
    return value


Point = Annotated[
    str | int,
    BeforeValidator(_point),
    WithJsonSchema({"anyOf": [{"enum": ["latest", "best"]}, {"type": "integer", "minimum": 0, "maximum": MAX_STEP}]}),
]


class StartPoint(Model):
    """A checkpoint of another job."""

    job: Annotated[str, Field(max_length=64)]
    """The id of the other job."""
    checkpoint: Point = "latest"
    """The newest checkpoint, the best one, or the one at this global step."""


class FromRequest(_JobRequest):
    """A job that starts from a checkpoint of another job, with its spec, and changes to it as for a plan."""

    start: Annotated[StartPoint, Field(alias="from")]
    """The checkpoint."""

    @property
    def origin(self) -> Origin:
        """The job and the checkpoint that are named."""
        return Origin(self.start.job, self.start.checkpoint)


_KINDS: dict[str, type[PlanRequest] | type[CloneRequest] | type[FromRequest]] = {
    "plan": PlanRequest,
    "clone": CloneRequest,
    "from": FromRequest,
}


def requested_spec(body: Any, database: Database) -> tuple[Any, PlanRequest | CloneRequest | FromRequest | None]:
    """The spec that a body asks for, and how: None if the body is the spec itself. Raises SpecError."""
    request = _request(body)
    if request is None:
        return body, None
    if isinstance(request, PlanRequest):
        return apply_overrides(plan_spec(request.plan), request.set), request
    with database.read() as session:
        return changed_spec(Unit(session), request.origin, request.set, request.name), request


def _request(body: Any) -> PlanRequest | CloneRequest | FromRequest | None:
    kind = next((kind for kind in _KINDS if isinstance(body, dict) and kind in body), None)
    if kind is None:
        return None
    try:
        return _KINDS[kind].model_validate(body)
    except ValidationError as error:
        raise SpecError(field_errors(error)) from None
