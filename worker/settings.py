"""The settings of a worker, from the environment: the service's URL and a token, its Redis, the store, and more."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from baton.domain.catalog import MAX_PIXELS, TINY_IMAGENET_ZIP
from baton.domain.data_sources import DataSources
from baton.domain.downloads import Checksum, Download, http_url
from baton.system.caches import default_cache
from baton.system.cpus import cpus
from baton.telemetry.log_format import Format, Level, lower
from baton.telemetry.redaction import Secrets, password_of
from worker.preemption.clouds import Choice
from worker.preemption.notice import DEFAULT_GRACE

VERSION = "0.2.0"
THROUGH_SERVICE = "service"
"""With this value of BATON_STORE, a worker never uses its machine's own access to the store."""


Url = Annotated[str, AfterValidator(http_url)]


def _checksum(text: str) -> str:
    if text:
        Checksum.parse(text)
    return text


def _sources(text: str) -> str:
    DataSources.parse(text)
    return text


def _absolute(text: str) -> str:
    odd = [one for one in text.split(os.pathsep) if one and not Path(one).is_absolute()]
    if odd:
        raise ValueError(f"must be absolute directories separated by {os.pathsep}, not {odd[0]!r}")
    return text


def _names(text: str) -> str:
    odd = [one for one in text.split(",") if one and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", one)]
    if odd:
        raise ValueError(f"must be names of variables separated by commas, not {odd[0]!r}")
    return text


class WorkerSettings(BaseSettings):
    """Settings with the prefix BATON_. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="BATON_", extra="ignore")

    url: Url = "http://127.0.0.1:8080"
    """The URL of the service."""
    token: Annotated[str, Field(min_length=1, repr=False)]
    """A token with the scope work, or the service's own token."""
    redis_url: Annotated[str, Field(repr=False)] = ""
    """The Redis with the messages of the service; empty: the worker asks the service for work over HTTP."""
    store: str = ""
    """Not needed: the service hands out its store, and a worker whose machine has access to it uses it directly. If
    set, it must be the service's store: file:///directory, gs://bucket/prefix, s3://bucket/prefix or
    az://container/prefix. `service`: all objects go through the service, or through URLs that it signs."""
    worker_name: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    """The worker's name in tables and logs; default: host and process id."""
    cache: Path = Field(default_factory=default_cache)
    """Fetched data, unpacked zips, decoded images and autotuning results; shared by the workers of a machine."""
    cache_bytes: Annotated[int, Field(ge=0)] = 0
    """Bytes that pushed data, data from URLs and code may take in the cache; 0: 80 % of the free space. What no job
    uses is deleted to make room, the least recently used first."""
    threads: Annotated[int, Field(ge=1)] = Field(default_factory=cpus)
    """Threads of TensorFlow's operations; the bits of a result on the CPU depend on it. Default: the CPUs that the
    process may use, by its affinity and its container's limit."""
    augmentation_processes: Annotated[int, Field(ge=0)] | None = None
    """Number of processes that augment on the host; default: one less than `BATON_THREADS`."""
    gpus: Annotated[int, Field(ge=0)] = 1
    """How many of the visible GPUs train one job together; other GPUs stay unused. 0: train on the CPU. If TensorFlow
    cannot use the GPUs, the worker takes no work unless this is 0."""
    grace: Annotated[float, Field(gt=0)] = DEFAULT_GRACE
    """Seconds from a signal until the machine ends. Notices of clouds contain their own time."""
    notices: Choice = "auto"
    """The cloud whose metadata server is watched for preemption notices; auto: find it."""
    deadline: str = ""
    """The length of the worker's session, such as 11h30m, or none; default in Colab: 11h30m."""
    idle: str = ""
    """How long the worker waits for work before it ends, such as 10m; empty: no limit."""
    health_file: Path | None = None
    """A file that the worker touches regularly, for `python -m worker.health`."""
    reports: bool = True
    """Whether to make a report of each job and to test that its model file loads, both in low-priority processes."""
    xla: Literal["auto", "on", "off"] = "auto"
    """Whether steps are compiled; auto: on GPUs."""
    self_check: Literal["auto", "on", "off"] = "auto"
    """Whether the first training step of a stage is taken twice and its bits compared; auto: on GPUs. An event reports
    differences."""
    nondeterministic_ops: Literal["allow", "exclude"] = "allow"
    """`exclude`: XLA compiles no nondeterministic GPU operations. This applies to all jobs of the worker."""
    steps_ahead: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Labels, rows, seeds and learning rates of this many steps are copied to the GPU together; 1: one step at a time.
    The result is bit-identical for every value."""
    log_format: Annotated[Format, BeforeValidator(lower)] = "text"
    """`json`: the worker writes one JSON object per line. The logs of attempts are always text."""
    log_level: Annotated[Level, BeforeValidator(lower)] = "info"
    """The lowest level that the worker logs."""
    tiny_imagenet_url: Annotated[str, AfterValidator(lambda url: url and http_url(url))] = ""
    """The URL of a mirror of the official zip."""
    tiny_imagenet_checksum: Annotated[str, AfterValidator(_checksum)] = ""
    """The checksum of the zip: md5:…, sha256:…, or none; empty: that of the official zip."""
    max_pixels: Annotated[int, Field(ge=1)] = MAX_PIXELS
    """The maximum number of pixels of an image in a data set. Decoding takes about 4 bytes a pixel for each thread."""
    data_roots: Annotated[str, AfterValidator(_absolute)] = ""
    """The directories that may contain a spec's paths, separated by colons; empty: any directory."""

    data_sources: Annotated[str, AfterValidator(_sources)] = ""
    """The URL prefixes, separated by commas, that a spec's path may have, such as `gs://photos/,
    https://example.org/sets/`; empty: a spec must not name a URL."""
    programs: bool = False
    """Whether the worker runs programs: code of everyone with a token of the scope `programs`, as the user that the
    worker runs as."""
    programs_only: bool = False
    """With `programs`: whether the worker runs nothing else. A worker without TensorFlow sets it itself."""
    program_environment: Annotated[str, AfterValidator(_names)] = ""
    """The variables, separated by commas, that programs get although their names look like those of secrets, such as
    `HF_TOKEN,WANDB_API_KEY`."""

    @property
    def sources(self) -> DataSources:
        """`data_sources`, parsed into URL prefixes."""
        return DataSources.parse(self.data_sources)

    @property
    def own_store(self) -> str:
        """The URL of the worker's own store; empty: the store of each grant."""
        return "" if self.store == THROUGH_SERVICE else self.store

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
