"""Reads and writes specs of both kinds: a classifier (JobSpec) or a program (ProgramJobSpec)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from baton.domain.errors import FieldError, SpecError
from baton.domain.spec.common import CommonSpec, in_reading_order
from baton.domain.spec.job import JobSpec
from baton.domain.spec.program import ProgramJobSpec
from baton.domain.spec.versions import for_worker, needed_version, unused
from baton.domain.validation import field_errors

AnySpec = JobSpec | ProgramJobSpec

_OF_CLASSIFIERS = frozenset(JobSpec.model_fields) - frozenset(CommonSpec.model_fields)
_OF_PROGRAMS = frozenset(ProgramJobSpec.model_fields) - frozenset(CommonSpec.model_fields)


def parse_spec(data: object, extensions: Iterable[str] = ()) -> AnySpec:
    """A validated spec from decoded YAML or JSON. A mapping with `program` is a program's spec.

    `extensions`: the names that a classifier's spec may use in addition to the catalog.

    Raises:
        SpecError: with one entry for each wrong field.

    >>> data = {
    ...     "name": "first",
    ...     "network": {"name": "network-1"},
    ...     "dataset": {"name": "digits"},
    ...     "stages": [{"image_size": 16, "epochs": 3}],
    ... }
    >>> spec = parse_spec(data)
    >>> spec.stages[0].batch_size, spec.checkpoint.every
    (128, 'auto')
    >>> parse_spec({"name": "own", "program": {"command": ["python", "train.py"]}}).extensions
    ['program/any']
    >>> parse_spec({"name": "x"})
    Traceback (most recent call last):
        ...
    baton.domain.errors.SpecError: network: is required; dataset: is required; stages: is required
    """
    model = _kind_of(data)
    try:
        return model.model_validate(data, context=frozenset(extensions))
    except ValidationError as error:
        raise SpecError(field_errors(error)) from None


def parse_classifier(data: object, extensions: Iterable[str] = ()) -> JobSpec:
    """As `parse_spec`, for callers that train images. Raises SpecError also if the spec is that of a program."""
    spec = parse_spec(data, extensions)
    if isinstance(spec, ProgramJobSpec):
        raise SpecError([FieldError("program", "is a program: only the spec of an image classifier is possible here")])
    return spec


def _kind_of(data: object) -> type[JobSpec] | type[ProgramJobSpec]:
    """The model for this data. Raises SpecError if the data has fields of both kinds."""
    fields = {name for name in data if isinstance(name, str)} if isinstance(data, Mapping) else set()
    classifier, program = sorted(fields & _OF_CLASSIFIERS), sorted(fields & _OF_PROGRAMS)
    if classifier and program:
        if "program" in program:
            text = "does not belong to a job with `program`: leave it out, or leave out `program`"
            raise SpecError([FieldError(name, text) for name in classifier])
        text = "belongs to a job with `program`: leave it out, or replace network, dataset and stages by `program`"
        raise SpecError([FieldError(name, text) for name in program])
    return ProgramJobSpec if program else JobSpec


def dump_spec(spec: AnySpec) -> dict[str, Any]:
    """The spec as JSON data. `parse_spec` reads it back to an equal spec.

    Omits fields newer than version 1 that have their default, so that older workers can train the job.
    """
    dumped = spec.model_dump(mode="json", exclude_none=True, exclude=unused(spec))
    return {name: dumped[name] for name in in_reading_order(type(spec)) if name in dumped}


def spec_version(spec: AnySpec) -> int:
    """The lowest spec version that a worker must support to train this spec."""
    return needed_version(spec)


def granted_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a spec that a worker gets. Both are JSON data."""
    return for_worker(CommonSpec, spec)
