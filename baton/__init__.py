"""Resumable training on preemptible GPUs. `baton.Client` is the client of a Baton service; `baton.Job` is a job.

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
    from baton.client.client import Client
    from baton.client.errors import ApiError, ClientError, ConfigurationError, DownloadError, Unreachable
    from baton.client.job import Job, Jobs
    from baton.client.transport import RetryPolicy
    from baton.domain.errors import BatonError

__all__ = [
    "ApiError",
    "BatonError",
    "Client",
    "ClientError",
    "ConfigurationError",
    "DownloadError",
    "Job",
    "Jobs",
    "RetryPolicy",
    "Unreachable",
]

_MODULES = {
    "Client": "baton.client.client",
    "BatonError": "baton.domain.errors",
    "Job": "baton.client.job",
    "Jobs": "baton.client.job",
    "RetryPolicy": "baton.client.transport",
    **dict.fromkeys(
        ("ApiError", "ClientError", "ConfigurationError", "DownloadError", "Unreachable"), "baton.client.errors"
    ),
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'baton' has no attribute {name!r}; its names are {', '.join(__all__)}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
