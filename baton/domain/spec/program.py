"""A job that runs a training program of the user's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from baton.domain.extensions import PROGRAMS
from baton.domain.scalars import MetricName
from baton.domain.spec.common import CommonSpec
from baton.domain.spec.fields import Reference
from baton.domain.validation import FieldValueError, Model

MAX_COMMAND = 100
MAX_ENVIRONMENT = 50
MAX_DATA = 20
MAX_PARAMS_BYTES = 64 << 10
MAX_PARAMS_DEPTH = 20

_VARIABLE = r"[A-Z_][A-Z0-9_]{0,99}"
_OWN_VARIABLES = "BATON_"
_CODE = r"^sha256:[0-9a-f]{64}$"
_DATA_NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f'must be text: put it in quotes, as "{value!s:.60}"')
    if "\x00" in value:
        raise ValueError("must not contain a NUL character: no command and no variable can have one")
    return value


def _variable(name: str) -> str:
    if not re.fullmatch(_VARIABLE, name):
        raise ValueError("a variable has a name of up to 100 upper-case letters, digits and '_', no digit first")
    if name.startswith(_OWN_VARIABLES):
        raise ValueError(
            f"the worker sets all variables that begin with {_OWN_VARIABLES}; use `params` or another name"
        )
    return name


def _below_the_bundle(value: str) -> str:
    path = PurePosixPath(value)
    if not value or "\\" in value or path.is_absolute() or ".." in path.parts:
        raise ValueError("must be a relative path with '/' and without '..': a folder inside the code bundle")
    return str(path)


def _params(value: object) -> dict[str, Any]:
    """A copy of the value, as JSON holds it. Raises ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError("must be a mapping")
    if _depth(value) > MAX_PARAMS_DEPTH:
        raise ValueError(f"must be nested at most {MAX_PARAMS_DEPTH} levels deep")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError) as error:  # also UnicodeEncodeError, for half of a surrogate pair
        raise ValueError(f"must be JSON: {error}") from None
    if size > MAX_PARAMS_BYTES:
        raise ValueError(f"must be at most {MAX_PARAMS_BYTES} bytes as JSON, not {size}; push larger input as `data`")
    copied: dict[str, Any] = json.loads(text)
    return copied


def _depth(value: object) -> int:
    """The number of levels of lists and mappings, up to one more than is allowed."""
    level, depth = [value], 0
    while depth <= MAX_PARAMS_DEPTH:
        level = [inner for one in level for inner in _members(one)]
        if not level:
            break
        depth += 1
    return depth


def _members(value: object) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


Word = Annotated[str, BeforeValidator(_text)]
VariableName = Annotated[
    str,
    AfterValidator(_variable),
    WithJsonSchema({"type": "string", "pattern": f"^(?!{_OWN_VARIABLES}){_VARIABLE}$"}),
]
Params = Annotated[dict[str, Any], PlainValidator(_params), WithJsonSchema({"type": "object"})]


class ProgramSpec(Model):
    """The program: its command and its code. Workers that were started with `--programs` run it."""

    command: Annotated[tuple[Word, ...], Field(min_length=1, max_length=MAX_COMMAND)]
    """The program and its arguments, without a shell: [python, train.py, --lr, "3e-4"]."""
    code: Annotated[str, Field(pattern=_CODE)] | None = None
    """The digest of the pushed code bundle; left out: the command runs what is installed on the worker."""
    environment: Annotated[dict[VariableName, Word], Field(max_length=MAX_ENVIRONMENT)] = Field(default_factory=dict)
    """Variables of the program's environment. They are shown to everyone who may read the job: no place for secrets."""
    working_directory: Annotated[Word, AfterValidator(_below_the_bundle)] = "."
    """The folder of the bundle in which the command starts."""

    @model_validator(mode="after")
    def _names_a_program(self) -> Self:
        if not self.command[0].strip():
            raise FieldValueError("command.0", "must name a program, such as python")
        return self


class MonitorSpec(Model):
    """Which metric tells how good the model is."""

    metric: MetricName
    """The name of a metric that the program records with each epoch."""
    mode: Literal["min", "max"]
    """min: a smaller value is better. max: a larger value is better."""


class ProgramJobSpec(CommonSpec):
    """A job that runs a training program of the user's own, in any framework, with `import baton`."""

    since: ClassVar[int] = 6

    program: ProgramSpec
    """The command and its code."""
    params: Params = Field(default_factory=dict)
    """JSON that the program reads as `run.params`, at most 64 KiB."""
    monitor: MonitorSpec | None = None
    """The metric that tells the best checkpoint; left out: no checkpoint is the best."""
    data: Annotated[dict[Annotated[str, Field(pattern=_DATA_NAME)], Reference], Field(max_length=MAX_DATA)] = Field(
        default_factory=dict
    )
    """Pushed data that the program reads as `run.data(name)`: NAME, or NAME@sha256:DIGEST. At submission the service
    adds the newest digest to a name."""

    @property
    def extensions(self) -> list[str]:
        """The extensions that a worker needs to run it."""
        return [PROGRAMS]
