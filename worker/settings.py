"""What a worker needs: the service's URL and a token, its Redis, and the store. All from the environment."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.notice import DEFAULT_GRACE

VERSION = "0.1.0"


def _default_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def default_cache() -> Path:
    """Where decoded images lie if nobody says."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "baton"


def _http_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError(f"must begin with http:// or https://, not {text!r}")
    return text


class WorkerSettings(BaseSettings):
    """Settings with the prefix BATON_. Times in seconds.

    `threads`: of TensorFlow's operations; the bits of a result on the CPU depend on it. `grace`: from a signal to the
    machine's end; clouds say themselves how much is left. `notices`: whose metadata server to watch. `deadline`: the
    length of the worker's session, such as 11h30m, or none. `augmentation_processes`: None leaves one core to the loop.
    `reports`: whether to make a report of each job, in a process of low priority.
    """

    model_config = SettingsConfigDict(env_prefix="BATON_", extra="ignore")

    url: Annotated[str, AfterValidator(_http_url)] = "http://127.0.0.1:8080"
    token: Annotated[str, Field(min_length=1, repr=False)]
    redis_url: Annotated[str, Field(repr=False)] = "redis://127.0.0.1:6379/0"
    store: Annotated[str, Field(min_length=1)]
    worker_name: str = Field(default_factory=_default_name)
    cache: Path = Field(default_factory=default_cache)
    threads: Annotated[int, Field(ge=1)] = Field(default_factory=lambda: os.cpu_count() or 1)
    augmentation_processes: Annotated[int, Field(ge=0)] | None = None
    grace: Annotated[float, Field(gt=0)] = DEFAULT_GRACE
    notices: Literal["auto", "gce", "aws", "azure", "none"] = "auto"
    deadline: str = ""
    reports: bool = True
