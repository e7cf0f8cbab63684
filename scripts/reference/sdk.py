"""docs/reference/python.md from the docstrings of the package `baton`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any

import baton
from baton.client.job import Job, Jobs
from baton.client.job_filters import JobFilters
from baton.client.streams import LogPart
from baton.client.transport import RetryPolicy
from baton.domain import views
from baton.domain.wire import EpochRow
from scripts.reference.markdown import page, prose, table
from scripts.reference.schema import shape

INTRODUCTION = """
The classes of `from baton import ...`, to use Baton from Python. The package needs neither TensorFlow nor the service's
code. `submit` returns a job with its id. Answers are pydantic models; `model_dump()` converts them to plain data.
"""
ASYNCHRONOUS = """
## AsyncClient

All methods of `Client`, for `asyncio`: `await client.job(job_id)`, `async for job in client.all_jobs()`, `async with
AsyncClient(url, token) as client`. Its jobs are `AsyncJob` and its pages `AsyncJobs`, with the methods of `Job` and
`Jobs` to await. Pushing and pulling data and code happens in a thread. [Find jobs](../how-to/find-jobs.md) has an
example.
"""
VIEWS: tuple[type[Any], ...] = (
    views.StageView,
    views.AttemptView,
    views.CheckpointView,
    views.EventView,
    views.FeedEvent,
    views.JobSummary,
    EpochRow,
    views.ArtifactView,
    views.WorkerView,
)


def sdk_page() -> str:
    """The page."""
    classes = [class_text(one) for one in (baton.Client, Job, Jobs, JobFilters, LogPart, RetryPolicy)]
    classes.insert(1, ASYNCHRONOUS.strip())
    errors = [f"### {name}\n\n{prose(_error(name).__doc__)}" for name in baton.__all__ if name.endswith("Error")]
    errors.append(f"### Unreachable\n\n{prose(baton.Unreachable.__doc__)}")
    return page(
        "Python SDK",
        INTRODUCTION,
        *classes,
        "## Errors\n\n" + "\n\n".join(errors),
        "## Answers\n\n" + "\n\n".join(map(_view, VIEWS)),
    )


def _error(name: str) -> type:
    found: type = getattr(baton, name)
    return found


def class_text(one: type, without: Sequence[str] = ()) -> str:
    """A class and its public methods, except those in `without`."""
    parts = [f"## {one.__name__}", prose(one.__doc__)]
    return "\n\n".join([*parts, *(_method(name, call) for name, call in methods(one) if name not in without)])


def methods(one: type) -> Iterator[tuple[str, Any]]:
    """The public methods of a class, without those of foreign base classes. Base classes first, in source order."""
    seen: dict[str, Any] = {}
    for base in reversed(one.__mro__):
        if base.__module__.startswith("baton."):
            seen |= {n: m for n, m in vars(base).items() if inspect.isfunction(m) and not n.startswith("_")}
    yield from seen.items()


def _method(name: str, call: Any) -> str:
    return f"### {call.__qualname__}\n\n```text\n{name}{signature(call)}\n```\n\n{prose(call.__doc__)}"


def signature(call: Any) -> str:
    """Parameters and result of a function, without `self` and without the modules of types."""
    found = inspect.signature(call)
    shown = [one for one in found.parameters.values() if one.name != "self"]
    text = str(found.replace(parameters=shown)).replace("'", "")
    return re.sub(r"\b(?:baton|collections\.abc|os|pathlib|typing)\.(?:\w+\.)*", "", text)


def _view(model: type[Any]) -> str:
    schema = model.model_json_schema()
    rows = [(f"`{name}`", _plain(one)) for name, one in schema["properties"].items()]
    return f"### {model.__name__}\n\n{prose(model.__doc__)}\n\n" + table(("field", "values"), rows)


def _plain(schema: dict[str, Any]) -> str:
    return re.sub(r"\[(\w+)\]\(#\w+\)", r"\1", shape(schema))
