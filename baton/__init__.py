"""Resumable training on preemptible GPUs. `baton.Client` is the client of a Baton service; `baton.Job` is a job.
`baton.AsyncClient` has the same methods as `baton.Client`, for `await`.

`baton.init()` is what a training program calls: it needs no service and no packages but the standard library.

The import is fast: each name is loaded when it is first used.

    >>> import baton
    >>> with baton.Client(url, token) as client:
    ...     job = client.submit_plan("digits-demo")
    >>> job.status
    'queued'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baton.client.aio.client import AsyncClient
    from baton.client.aio.job import AsyncJob, AsyncJobs
    from baton.client.client import Client
    from baton.client.errors import (
        ApiError,
        ClientError,
        ConfigurationError,
        DownloadError,
        LocalDataError,
        Unreachable,
    )
    from baton.client.job import Job, Jobs
    from baton.client.transport import RetryPolicy
    from baton.domain.errors import BatonError
    from baton.program.backend import Saved
    from baton.program.errors import ProgramError, Stopped
    from baton.program.run import Run
    from baton.program.start import init

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "AsyncJobs",
    "BatonError",
    "Client",
    "ClientError",
    "ConfigurationError",
    "DownloadError",
    "Job",
    "Jobs",
    "LocalDataError",
    "ProgramError",
    "RetryPolicy",
    "Run",
    "Saved",
    "Stopped",
    "Unreachable",
    "init",
]

_MODULES = {
    "AsyncClient": "baton.client.aio.client",
    "AsyncJob": "baton.client.aio.job",
    "AsyncJobs": "baton.client.aio.job",
    "Client": "baton.client.client",
    "BatonError": "baton.domain.errors",
    "init": "baton.program.start",
    "Run": "baton.program.run",
    "Saved": "baton.program.backend",
    "ProgramError": "baton.program.errors",
    "Stopped": "baton.program.errors",
    "Job": "baton.client.job",
    "Jobs": "baton.client.job",
    "RetryPolicy": "baton.client.transport",
    **dict.fromkeys(
        ("ApiError", "ClientError", "ConfigurationError", "DownloadError", "LocalDataError", "Unreachable"),
        "baton.client.errors",
    ),
}


_PACKAGES = ("data", "jax", "keras", "torch")
"""Packages that `import baton` does not load: they need NumPy or a framework."""


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"baton.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module 'baton' has no attribute {name!r}; its names are {', '.join(__all__)}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
