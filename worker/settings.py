"""The settings of a worker, from the environment: the service's URL and a token, its Redis, the store, and more."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from baton.domain.catalog import TINY_IMAGENET_ZIP
from baton.domain.downloads import Checksum, Download, http_url
from baton.system.caches import default_cache
from baton.system.cpus import cpus
from baton.telemetry.log_format import Format, Level, lower
from baton.telemetry.redaction import Secrets, password_of
from worker.preemption.clouds import Choice
from worker.preemption.notice import DEFAULT_GRACE

VERSION = "0.2.0"


Url = Annotated[str, AfterValidator(http_url)]


def _checksum(text: str) -> str:
    if text:
        Checksum.parse(text)
    return text


def _absolute(text: str) -> str:
    odd = [one for one in text.split(os.pathsep) if one and not Path(one).is_absolute()]
    if odd:
        raise ValueError(f"must be absolute directories separated by {os.pathsep}, not {odd[0]!r}")
    return text


class WorkerSettings(BaseSettings):
    """Settings with the prefix BATON_. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="BATON_", extra="ignore")

    url: Url = "http://127.0.0.1:8080"
    """The URL of the service."""
    token: Annotated[str, Field(min_length=1, repr=False)]
    """A token with the scope work, or the service's own token."""
    redis_url: Annotated[str, Field(repr=False)] = "redis://127.0.0.1:6379/0"
    """The Redis with the messages of the service. Not used with --poll."""
    store: Annotated[str, Field(min_length=1)]
    """The same store as the service's: file:///directory or gs://bucket/prefix."""
    worker_name: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    """The worker's name in tables and logs; default: host and process id."""
    cache: Path = Field(default_factory=default_cache)
    """Downloads, unpacked zips, decoded images and autotuning results; shared by the workers of a machine."""
    threads: Annotated[int, Field(ge=1)] = Field(default_factory=cpus)
    """Threads of TensorFlow's operations; the bits of a result on the CPU depend on it. Default: the CPUs that the
    process may use, by its affinity and its container's limit."""
    augmentation_processes: Annotated[int, Field(ge=0)] | None = None
    """Processes that augment on the host; default: one less than `BATON_THREADS`."""
    gpus: Annotated[int, Field(ge=0)] = 1
    """How many of the visible GPUs train one job together; other GPUs stay unused. 0: train on the CPU. If TensorFlow
    cannot use the GPUs, the worker takes no work unless this is 0."""
    grace: Annotated[float, Field(gt=0)] = DEFAULT_GRACE
    """Seconds from a signal until the machine is gone. Notices of clouds contain their own time."""
    notices: Choice = "auto"
    """The cloud whose metadata server is watched for preemption notices; auto: find it."""
    deadline: str = ""
    """The length of the worker's session, such as 11h30m, or none; default in Colab: 11h30m."""
    idle: str = ""
    """How long the worker waits for work before it ends, such as 10m; empty: no limit."""
    health_file: Path | None = None
    """A file that the worker touches regularly, for `python -m worker.health`."""
    reports: bool = True
    """Whether to make a report of each job and to test that its model file loads, in low-priority processes."""
    xla: Literal["auto", "on", "off"] = "auto"
    """Whether steps are compiled; auto: on GPUs."""
    self_check: Literal["auto", "on", "off"] = "auto"
    """Whether the first training step of a stage is taken twice and its bits compared; auto: on GPUs. An event reports
    differences."""
    nondeterministic_ops: Literal["allow", "exclude"] = "allow"
    """`exclude`: XLA compiles no nondeterministic GPU operation, for all jobs of the worker."""
    steps_ahead: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Labels, rows, seeds and learning rates of this many steps are copied to the GPU at once; 1: one step at a time.
    The result is bit-identical."""
    log_format: Annotated[Format, BeforeValidator(lower)] = "text"
    """`json`: the worker writes one JSON object per line. The logs of attempts are always text."""
    log_level: Annotated[Level, BeforeValidator(lower)] = "info"
    """The lowest level that the worker logs."""
    tiny_imagenet_url: Annotated[str, AfterValidator(lambda url: url and http_url(url))] = ""
    """The URL of a mirror of the official zip."""
    tiny_imagenet_checksum: Annotated[str, AfterValidator(_checksum)] = ""
    """The checksum of the zip: md5:…, sha256:…, or none; empty: that of the official zip."""
    data_roots: Annotated[str, AfterValidator(_absolute)] = ""
    """The directories that may contain a spec's paths, separated by colons; empty: any directory."""

    @property
    def roots(self) -> tuple[Path, ...]:
        """`data_roots` as paths."""
        return tuple(map(Path, filter(None, self.data_roots.split(os.pathsep))))

    @property
    def secrets(self) -> Secrets:
        """Values that must not appear in the log."""
        urls = (self.redis_url, self.url, self.tiny_imagenet_url)
        return Secrets([self.token, *map(password_of, urls)])

    @property
    def downloads(self) -> dict[str, Download]:
        """The sources of data sets of this worker, by name."""
        changed = TINY_IMAGENET_ZIP.changed(self.tiny_imagenet_url, self.tiny_imagenet_checksum)
        return {"tiny-imagenet-200": changed}
