"""What a worker needs: the service's URL and a token, its Redis, and the store. All from the environment."""

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
from worker.preemption.notice import DEFAULT_GRACE

VERSION = "0.1.0"


def _default_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


Url = Annotated[str, AfterValidator(http_url)]


def _checksum(text: str) -> str:
    if text:
        Checksum.parse(text)
    return text


def _absolute(text: str) -> str:
    odd = [one for one in text.split(os.pathsep) if one and not Path(one).is_absolute()]
    if odd:
        raise ValueError(f"must be absolute directories with {os.pathsep} between them, not {odd[0]!r}")
    return text


class WorkerSettings(BaseSettings):
    """Settings with the prefix BATON_. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="BATON_", extra="ignore")

    url: Url = "http://127.0.0.1:8080"
    """The service."""
    token: Annotated[str, Field(min_length=1, repr=False)]
    """A token of the scope work, or the service's own."""
    redis_url: Annotated[str, Field(repr=False)] = "redis://127.0.0.1:6379/0"
    """Where work is waited for; not read by a worker with --poll."""
    store: Annotated[str, Field(min_length=1)]
    """The service's own: file:///directory or gs://bucket/prefix."""
    worker_name: str = Field(default_factory=_default_name)
    """What it is called in tables and logs; host and process id unless given."""
    cache: Path = Field(default_factory=default_cache)
    """Downloads, unpacked zips, decoded images and autotuning results of a machine's workers."""
    threads: Annotated[int, Field(ge=1)] = Field(default_factory=cpus)
    """Threads of TensorFlow's operations; the bits of a result on the CPU depend on it. Left out: the CPUs that the
    process may use, by its affinity and its container's limit."""
    augmentation_processes: Annotated[int, Field(ge=0)] | None = None
    """Processes that augment on the host; left out: one less than `BATON_THREADS`."""
    gpus: Annotated[int, Field(ge=0)] = 1
    """How many of the GPUs that it sees train one job together; the others are left alone. 0: train on the CPU. Without
    it, a worker whose GPU TensorFlow cannot use takes no work."""
    grace: Annotated[float, Field(gt=0)] = DEFAULT_GRACE
    """From a signal to the machine's end; clouds say themselves how much is left."""
    notices: Literal["auto", "gce", "aws", "azure", "none"] = "auto"
    """Whose metadata server to watch for the machine's end."""
    deadline: str = ""
    """The length of the worker's session, such as 11h30m, or none; in Colab 11h30m unless given."""
    idle: str = ""
    """How long to wait for work before it ends, such as 10m; empty: for ever."""
    health_file: Path | None = None
    """A file that it touches again and again, for `python -m worker.health`."""
    reports: bool = True
    """Whether to make a report of each job and to load its model file back, in processes of low priority."""
    xla: Literal["auto", "on", "off"] = "auto"
    """Whether steps are compiled; auto: on GPUs."""
    self_check: Literal["auto", "on", "off"] = "auto"
    """Whether the first training step of a stage is taken twice and its bits compared; auto: on GPUs. An event says
    where they differ."""
    nondeterministic_ops: Literal["allow", "exclude"] = "allow"
    """`exclude`: XLA compiles no operation for a GPU that does not repeat its bits, for all jobs of the worker."""
    steps_ahead: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Of so many steps labels, rows, seeds and learning rates are copied to the GPU at once; 1: of each step by itself.
    The result is the same to the bit."""
    log_format: Annotated[Format, BeforeValidator(lower)] = "text"
    """Of what the worker says, `json`: one object a line; training processes, whose words people read, speak text."""
    log_level: Annotated[Level, BeforeValidator(lower)] = "info"
    """From which level on the worker says something."""
    tiny_imagenet_url: Annotated[str, AfterValidator(lambda url: url and http_url(url))] = ""
    """A mirror of the official zip."""
    tiny_imagenet_checksum: Annotated[str, AfterValidator(_checksum)] = ""
    """What the zip must have: md5:…, sha256:…, or none; empty: that of the official one."""
    data_roots: Annotated[str, AfterValidator(_absolute)] = ""
    """The directories that a spec's paths may lie in, with colons between them; empty: anywhere."""

    @property
    def roots(self) -> tuple[Path, ...]:
        """Each of `data_roots`."""
        return tuple(map(Path, filter(None, self.data_roots.split(os.pathsep))))

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
