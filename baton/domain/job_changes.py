"""Changes of an existing job: the fields that can be changed, and how a merge patch (RFC 7396) changes the spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, ValidationError

from baton.domain.errors import FieldError, SpecError
from baton.domain.spec import JobSpec, ProgramJobSpec
from baton.domain.validation import Model, field_errors

MAX_NOTES = 10_000
Part = dict[str, Any]


class JobChange(Model):
    """Changes of a job, as a JSON merge patch (RFC 7396): a field that is left out stays, null restores its default."""

    name: str | None = None
    """The job's name."""
    labels: dict[str, str | None] | None = None
    """Labels to set. A label with the value null is removed; the others stay."""
    notes: Annotated[str, Field(max_length=MAX_NOTES)] | None = None
    """Free text about the job, at most 10,000 characters."""
    priority: Literal["high", "normal", "low"] | None = None
    """The order of waiting jobs: high, normal, low."""
    protected: StrictBool = False
    """Whether retention keeps the job."""
    limits: Part | None = None
    """`limits` of the spec."""
    notify: Part | None = None
    """`notify` of the spec."""
    checkpoint: Part | None = None
    """`checkpoint` of the spec."""
    retry: Part | None = None
    """`retry` of the spec."""


OF_THE_JOB = ("notes", "protected")
"""Fields that are not part of the spec."""

OF_THE_SPEC = tuple(name for name in JobChange.model_fields if name not in OF_THE_JOB)
CHANGEABLE = ", ".join(JobChange.model_fields)


def parse_change(patch: object) -> dict[str, Any]:
    """The fields of a patch. The parts of the spec are checked later, with the whole spec.

    Raises:
        SpecError: the patch is not a mapping, or names a field that cannot be changed.
    """
    if isinstance(patch, Mapping):
        refused = [FieldError(name, _refusal(name)) for name in patch if name not in JobChange.model_fields]
        if refused:
            raise SpecError(refused)
    try:
        change = JobChange.model_validate(patch)
    except ValidationError as error:
        raise SpecError(field_errors(error)) from None
    return {name: getattr(change, name) for name in JobChange.model_fields if name in change.model_fields_set}


def _refusal(name: str) -> str:
    if name not in JobSpec.model_fields and name not in ProgramJobSpec.model_fields:
        return f"is not a field that can be changed; the fields that can be changed are {CHANGEABLE}"
    return (
        "cannot be changed in an existing job, because the run must stay reproducible from its spec: continue the job "
        f"with the change (`baton submit --from JOB --set {name}=...`) or clone it (`baton clone JOB --set {name}=...`)"
    )


def changed_spec(spec: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the spec with the change. It is not validated.

    >>> changed_spec({"seed": 1, "labels": {"a": "1", "b": "2"}}, {"labels": {"a": None, "c": "3"}, "notes": "x"})
    {'seed': 1, 'labels': {'b': '2', 'c': '3'}}
    """
    patch = {name: value for name, value in change.items() if name in OF_THE_SPEC}
    found: dict[str, Any] = _merged(spec, patch)
    return found


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    found = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merged(found.get(key), value)
    return found
