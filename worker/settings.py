"""What a worker needs: the service's URL and a token, its Redis, and the store. All from the environment."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.caches import default_cache
from core.domain.catalog import TINY_IMAGENET_ZIP
from core.domain.downloads import Checksum, Download, http_url
from core.telemetry.logs import Format, Level, lower
from core.telemetry.secrets import Secrets, password_of
from worker.notice import DEFAULT_GRACE

VERSION = "0.1.0"


def _default_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


Url = Annotated[str, AfterValidator(http_url)]


def _checksum(text: str) -> str:
    if text:
        Checksum.parse(text)
    return text


class WorkerSettings(BaseSettings):
    """Settings with the prefix BATON_. Times in seconds.

    `threads`: of TensorFlow's operations; the bits of a result on the CPU depend on it. `grace`: from a signal to the
    machine's end; clouds say themselves how much is left. `notices`: whose metadata server to watch. `deadline`: the
    length of the worker's session, such as 11h30m, or none. `idle`: how long without an attempt before it ends.
    `health_file`: touched again and again, for `python -m worker.health`. `augmentation_processes`: None leaves one
    core to the loop. `gpus`: how many of those that it sees train one job together; the others are left alone.
    `tiny_imagenet_url`: a mirror of the official zip; `tiny_imagenet_checksum`: what it must have, or none.
    `reports`: whether to make a report of each job, in a process of low priority. `xla`: whether steps are compiled;
    auto: on GPUs. `log_format`: of what the worker says; training processes, whose words people read, speak text.
    """

    model_config = SettingsConfigDict(env_prefix="BATON_", extra="ignore")

    url: Url = "http://127.0.0.1:8080"
    token: Annotated[str, Field(min_length=1, repr=False)]
    redis_url: Annotated[str, Field(repr=False)] = "redis://127.0.0.1:6379/0"
    store: Annotated[str, Field(min_length=1)]
    worker_name: str = Field(default_factory=_default_name)
    cache: Path = Field(default_factory=default_cache)
    threads: Annotated[int, Field(ge=1)] = Field(default_factory=lambda: os.cpu_count() or 1)
    augmentation_processes: Annotated[int, Field(ge=0)] | None = None
    gpus: Annotated[int, Field(ge=1)] = 1
    grace: Annotated[float, Field(gt=0)] = DEFAULT_GRACE
    notices: Literal["auto", "gce", "aws", "azure", "none"] = "auto"
    deadline: str = ""
    idle: str = ""
    health_file: Path | None = None
    reports: bool = True
    xla: Literal["auto", "on", "off"] = "auto"
    log_format: Annotated[Format, BeforeValidator(lower)] = "text"
    log_level: Annotated[Level, BeforeValidator(lower)] = "info"
    tiny_imagenet_url: Annotated[str, AfterValidator(lambda url: url and http_url(url))] = ""
    tiny_imagenet_checksum: Annotated[str, AfterValidator(_checksum)] = ""

    @property
    def secrets(self) -> Secrets:
        """What the log must not tell."""
        urls = (self.redis_url, self.url, self.tiny_imagenet_url)
        return Secrets([self.token, *map(password_of, urls)])

    @property
    def downloads(self) -> dict[str, Download]:
        """Where this worker gets data sets from, by name."""
        changed = TINY_IMAGENET_ZIP.changed(self.tiny_imagenet_url, self.tiny_imagenet_checksum)
        return {"tiny-imagenet-200": changed}
