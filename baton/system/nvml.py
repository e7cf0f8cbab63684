"""The load of NVIDIA GPUs, from the driver's library NVML. It needs no CUDA context and no package."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from baton.system.cuda import VISIBLE

LIBRARY = "libnvidia-ml.so.1"
UUID_BYTES = 96
_TEMPERATURE_OF_GPU = 0
log = logging.getLogger(__name__)


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


@dataclass(frozen=True)
class GpuLoad:
    """The load of one GPU. `busy`, `memory`: percent. `temperature`: °C. `power`: W. None: not reported."""

    busy: float | None
    memory: float | None
    temperature: float | None
    power: float | None


class Nvml:
    """The GPUs that this process may use, in the order of the PCI bus.

    `library`: NVML, initialized. https://docs.nvidia.com/deploy/nvml-api/
    """

    def __init__(self, library: Any, environment: Mapping[str, str]) -> None:
        self._library = library
        handles = list(_handles(library))
        chosen = environment.get(VISIBLE)
        self._gpus = handles if chosen is None else list(_chosen(library, handles, chosen))

    @classmethod
    def open(cls, environment: Mapping[str, str] | None = None) -> Self | None:
        """Loads NVML. None: this machine has no NVIDIA driver, or it does not work."""
        try:
            library = ctypes.CDLL(LIBRARY)
            if library.nvmlInit_v2():
                return None
            return cls(library, os.environ if environment is None else environment)
        except (OSError, AttributeError) as error:
            log.debug("no NVML: %s", error)
            return None

    def loads(self) -> list[GpuLoad]:
        """The current load of each GPU."""
        return [self._load(handle) for handle in self._gpus]

    def _load(self, handle: ctypes.c_void_p) -> GpuLoad:
        used, memory, temperature, power = _Utilization(), _Memory(), ctypes.c_uint(), ctypes.c_uint()
        library = self._library
        has_used = not library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(used))
        has_memory = not library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
        hot = not library.nvmlDeviceGetTemperature(handle, _TEMPERATURE_OF_GPU, ctypes.byref(temperature))
        has_power = not library.nvmlDeviceGetPowerUsage(handle, ctypes.byref(power))
        return GpuLoad(
            busy=float(used.gpu) if has_used else None,
            memory=100 * memory.used / memory.total if has_memory and memory.total else None,
            temperature=float(temperature.value) if hot else None,
            power=power.value / 1000 if has_power else None,
        )


def _handles(library: Any) -> Iterator[ctypes.c_void_p]:
    count = ctypes.c_uint()
    if library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return
    for index in range(count.value):
        handle = ctypes.c_void_p()
        if not library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)):
            yield handle


def _chosen(library: Any, handles: list[ctypes.c_void_p], chosen: str) -> Iterator[ctypes.c_void_p]:
    """The GPUs that CUDA_VISIBLE_DEVICES names by number or by UUID. Instances of a divided GPU (MIG) are left out."""
    uuids = [_uuid(library, handle) for handle in handles]
    for name in (part.strip() for part in chosen.split(",")):
        if name.isdigit() and int(name) < len(handles):
            yield handles[int(name)]
        elif name.startswith("GPU-"):
            yield from (handle for handle, uuid in zip(handles, uuids, strict=True) if uuid.startswith(name))


def _uuid(library: Any, handle: ctypes.c_void_p) -> str:
    text = ctypes.create_string_buffer(UUID_BYTES)
    failed = library.nvmlDeviceGetUUID(handle, text, ctypes.c_uint(UUID_BYTES))
    return "" if failed else text.value.decode(errors="replace")
