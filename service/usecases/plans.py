"""The published plans: job specs in YAML files of the package `models`. The service never imports this package."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from baton.domain.errors import FieldError, SpecError
from baton.domain.plan_summary import describe
from baton.domain.plan_views import PlanView
from service.errors import NotFound

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


def plans_folder() -> Path:
    """The folder of the plans. Found by path, because an import of `models` would load TensorFlow."""
    found = importlib.util.find_spec("models")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("the package 'models' is missing; install Baton again")
    return Path(next(iter(found.submodule_search_locations))) / "plans"


def list_plans() -> list[PlanView]:
    """All plans by name."""
    return [load_plan(path.stem) for path in sorted(plans_folder().glob("*.yaml"))]


def load_plan(name: str) -> PlanView:
    """The plan with this name. Raises NotFound."""
    path = plans_folder() / f"{name}.yaml"
    if not _NAME.fullmatch(name) or not path.is_file():
        known = ", ".join(found.stem for found in sorted(plans_folder().glob("*.yaml")))
        raise NotFound(f"there is no plan {name[:100]!r}; there are: {known}")
    return _read(path)


@cache
def _read(path: Path) -> PlanView:
    text = path.read_text(encoding="utf-8")
    return describe(path.stem, _title(text), yaml.safe_load(text))


def _title(text: str) -> str:
    """The first paragraph of the comment at the top of the file."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("# "):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def preview(name: str | None, spec: Any, extensions: Collection[str]) -> PlanView:
    """Summarise a spec: a changed plan with this name, or a spec without a plan. Raises SpecError."""
    if name is not None:
        return describe(name, load_plan(name).title, spec, extensions)
    own = spec.get("name") if isinstance(spec, dict) else None
    return describe(own if isinstance(own, str) else "", "", spec, extensions)


def plan_spec(name: str) -> dict[str, Any]:
    """The spec of a plan that a submission names. Raises SpecError."""
    try:
        return load_plan(name).spec
    except NotFound as error:
        raise SpecError([FieldError("plan", str(error))]) from None
