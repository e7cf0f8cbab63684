"""docs/reference/job-spec.md from the pydantic models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from baton.domain.catalog import AUGMENTATIONS, DATASETS, NETWORKS
from baton.domain.spec.augmentation import AugmentationSpec
from baton.domain.spec.checkpoint_and_retry import CheckpointSpec, RetrySpec
from baton.domain.spec.common import CommonSpec, in_reading_order
from baton.domain.spec.dataset import DatasetSpec, SplitFractions
from baton.domain.spec.job import JobSpec
from baton.domain.spec.limits import BudgetSpec, LimitsSpec
from baton.domain.spec.network import NetworkSpec, OptimizerSpec
from baton.domain.spec.notifications import NotifySpec
from baton.domain.spec.program import MonitorSpec, ProgramJobSpec, ProgramSpec
from baton.domain.spec.schedules import ConstantSchedule, CyclicSchedule, PlateauSchedule
from baton.domain.spec.stage import Published, StageSpec
from scripts.reference.markdown import code, field_docs, page, prose, table
from scripts.reference.schema import default, fields, shape

MODELS: tuple[type[BaseModel], ...] = (
    JobSpec,
    NetworkSpec,
    DatasetSpec,
    SplitFractions,
    OptimizerSpec,
    StageSpec,
    ConstantSchedule,
    PlateauSchedule,
    CyclicSchedule,
    AugmentationSpec,
    Published,
    ProgramJobSpec,
    ProgramSpec,
    MonitorSpec,
    CheckpointSpec,
    RetrySpec,
    LimitsSpec,
    BudgetSpec,
    NotifySpec,
)
INTRODUCTION = """
All fields of a job spec. A spec is YAML or JSON. There are two kinds: with `network`, `dataset` and `stages` a job
trains an image classifier ([JobSpec](#jobspec)); with `program` it runs a training program of your own
([ProgramJobSpec](#programjobspec)). A spec has the fields of one kind.

`baton plan FILE` shows what a spec means without submitting it. A field that is unknown or out of bounds is refused
with its path (`stages.0.epochs`). `--set stages.0.epochs=2` and `--set params.lr=0.1` use the same paths. Durations are
seconds, or text such as `90s`, `1.5m` or `11h30m`.

```yaml
name: finetune
program:
  command: [python, train.py, --epochs, "20"]
  environment: {OMP_NUM_THREADS: "4"}
params: {lr: 0.0003, layers: [64, 64]}
monitor: {metric: val_loss, mode: min}
limits: {stall: 15m, max_runtime: 12h, budget: {gpu_hours: 40}}
checkpoint: {every: auto, keep: 3}
```
"""


def spec_page() -> str:
    """The page."""
    sections = [_section(model) for model in MODELS]
    return page("Job spec", INTRODUCTION, *sections, _names())


def _section(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(by_alias=True)
    shared = issubclass(model, CommonSpec)
    docs = {**(field_docs(CommonSpec) if shared else {}), **field_docs(model)}
    required = schema.get("required", [])
    found = fields(schema)
    order = in_reading_order(model) if shared else found
    rows = [
        (code(name), shape(_resolved(name, found[name])), default(found[name], name in required), docs.get(name, ""))
        for name in order
    ]
    listed = table(("field", "values", "default", "meaning"), rows)
    return f"## {model.__name__}\n\n{prose(model.__doc__)}\n\n{listed}"


def _resolved(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Augmenters have a separate page. Their schema is too large for a table cell."""
    if name == "augmenters":
        return {"type": "array", "items": {"enum": ["see Augmentation"]}, "minItems": 1, "maxItems": 32}
    if name == "augmentation":
        return {"anyOf": [{"enum": list(AUGMENTATIONS)}, {"$ref": "#/$defs/AugmentationSpec"}]}
    return schema


def _names() -> str:
    networks = table(
        ("network", "what it is", "parameters at width 1 and 200 classes", "image sizes"),
        [(code(n.name), n.title, f"{n.parameters:,}", f"multiples of {n.size_multiple}") for n in NETWORKS.values()],
    )
    datasets = table(
        ("data set", "what it is", "path", "download"),
        [(code(d.name), d.title, _path(d), "yes" if d.downloadable else "no") for d in DATASETS.values()],
    )
    own = "Extensions that are installed on workers may be named too: [own networks](../how-to/own-networks.md)."
    more = "Augmenters and their keys: [Augmentation](augmentation.md). Published specs: [Plans](plans.md)."
    return f"## Names that come with Baton\n\n{networks}\n\n{datasets}\n\n{own} {more}"


def _path(info: Any) -> str:
    if not info.needs_path:
        return "none"
    return "required, or `download: true`" if info.downloadable else "required"
