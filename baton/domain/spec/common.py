"""The fields of a spec that do not depend on what the job trains."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from baton.domain.queues import QUEUE
from baton.domain.spec.checkpoint_and_retry import CheckpointSpec, RetrySpec
from baton.domain.spec.limits import LimitsSpec
from baton.domain.spec.notifications import NotifySpec
from baton.domain.spec.versions import ForService, Since
from baton.domain.validation import Model

LABEL = r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?"


def _label(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(LABEL, value):
        raise ValueError("labels take 1 to 63 letters, digits, dots, dashes, slashes and underscores")
    return value


Label = Annotated[str, BeforeValidator(_label), WithJsonSchema({"type": "string", "pattern": f"^{LABEL}$"})]


class CommonSpec(Model):
    """The fields of each job: its name, cadence, limits, retries, notifications and its place in a queue."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """The job's name. Names need not be unique: a command uses the newest job with a name."""
    checkpoint: CheckpointSpec = CheckpointSpec()
    """When the training state is saved."""
    limits: Annotated[LimitsSpec, Since(3)] = LimitsSpec()
    """How long an attempt may make no progress, and how long the job may run."""
    retry: Annotated[RetrySpec, ForService] = RetrySpec()
    """How often the job is tried again."""
    notify: Annotated[NotifySpec | None, ForService] = None
    """Which notifications are sent to which targets; left out: the defaults of the service."""
    queue: Annotated[str, Field(pattern=QUEUE), ForService] = "default"
    """The queue: only workers that serve it take the job."""
    priority: Annotated[Literal["high", "normal", "low"], ForService] = "normal"
    """The order of waiting jobs; a running job is never stopped for another."""
    source: Annotated[Annotated[str, Field(max_length=500)] | None, ForService] = None
    """The source of the plan, such as a paper; has no effect on training."""
    labels: Annotated[dict[Label, Label], Field(max_length=32)] = Field(default_factory=dict)
    """Your own names with values, to filter jobs and to limit their number."""


def in_reading_order(model: type[BaseModel]) -> list[str]:
    """The fields of a spec as people read them: the name, what the job trains, then the fields of each job."""
    common = list(CommonSpec.model_fields)
    own = [name for name in model.model_fields if name not in common]
    return ["name", *own, *(name for name in common if name != "name")]
