"""System metrics of an attempt: the load of CPUs, memory, disk and GPUs, as series `system/...` of its job."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from baton.domain.errors import LeaseLost
from baton.domain.metric_names import SYSTEM
from baton.domain.series import SeriesPoint
from baton.system.host_load import HostLoad, container_memory, host_load
from baton.system.nvml import Nvml
from worker.api_client.client import Refused, ServiceUnavailable

SECONDS = 30.0
"""Time between two samples."""
KEPT = 4_000
"""Points that wait while the service does not answer. Of more, the oldest are dropped."""
log = logging.getLogger(__name__)


class Source(Protocol):
    """Something that is measured."""

    def read(self) -> Mapping[str, float]:
        """The current values by name, without `system/`. A value that is not known is left out."""
        ...


class HostSource:
    """`cpu`: percent of the machine's CPUs. `memory`: percent of the machine's memory, or of the container's limit.
    `disk`: percent of the file system with the folder `cache`.
    """

    def __init__(self, cache: Path, load: HostLoad | None = None) -> None:
        self._cache, self._load = cache, load or host_load()

    def read(self) -> Mapping[str, float]:
        """See Source."""
        found: dict[str, float] = {}
        cpu, memory = self._load.cpu(), self._load.memory()
        if cpu is not None:
            found["cpu"] = cpu
        if memory is not None:
            used, total = container_memory(memory[1]) or memory
            found["memory"] = 100 * used / total
        try:
            disk = shutil.disk_usage(self._cache)
        except OSError:  # the folder does not exist yet
            return found
        found["disk"] = 100 * disk.used / disk.total
        return found


class GpuSource:
    """For the first GPU of the worker `gpu0`: percent of the time in which it was busy. `gpu0_memory`: percent.
    `gpu0_temperature`: °C. `gpu0_power`: W. The second GPU is `gpu1`.
    """

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml

    def read(self) -> Mapping[str, float]:
        """See Source."""
        found: dict[str, float | None] = {}
        for number, load in enumerate(self._nvml.loads()):
            found[f"gpu{number}"] = load.busy
            found[f"gpu{number}_memory"] = load.memory
            found[f"gpu{number}_temperature"] = load.temperature
            found[f"gpu{number}_power"] = load.power
        return {name: value for name, value in found.items() if value is not None}


def sources(cache: Path) -> list[Source]:
    """What this machine can measure. `cache`: the folder whose disk is measured."""
    nvml = Nvml.open()
    return [HostSource(cache), *([] if nvml is None else [GpuSource(nvml)])]


class SystemMetrics:
    """Takes a sample every SECONDS in a thread, and sends it. A context manager for the time of an attempt.

    `send`: stores points; it may raise ServiceUnavailable, and the points are sent with the next sample. Nothing that
    fails here affects the training. `clock`: Unix seconds. `wait`: sleeps, and returns True when the thread must end.
    """

    def __init__(
        self,
        send: Callable[[Sequence[SeriesPoint]], object],
        measured: Iterable[Source],
        *,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._send, self._measured, self._clock = send, tuple(measured), clock
        self._closed = threading.Event()
        self._wait = wait or self._closed.wait
        self._unsent: deque[SeriesPoint] = deque(maxlen=KEPT)
        self._thread = threading.Thread(target=self._run, name="system-metrics", daemon=True)

    def __enter__(self) -> SystemMetrics:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Not joined: a sample that is being sent must not delay the hand-over of the attempt.
        self._closed.set()

    def sample(self) -> None:
        """Measures, and sends what is not sent yet. Raises LeaseLost, Refused."""
        at = self._clock()
        for source in self._measured:
            for name, value in source.read().items():
                self._unsent.append(SeriesPoint(name=f"{SYSTEM}{name}", step=int(at), value=value, at=at))
        points = list(self._unsent)
        try:
            self._send(points)
        except ServiceUnavailable as error:
            log.debug("system metrics are sent later: %s", error)
            return
        self._unsent.clear()

    def _run(self) -> None:
        while not self._wait(SECONDS):
            try:
                self.sample()
            except (LeaseLost, Refused) as error:
                log.info("no more system metrics of this attempt: %s", error)
                return
            except Exception:
                log.exception("system metrics could not be measured")
                return
