"""The load of a machine: CPUs and memory from /proc or psutil, the limit of a container, and GPUs from NVML."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from baton.system.host_load import HostLoad, ProcLoad, PsutilLoad, container_memory
from baton.system.nvml import GpuLoad, Nvml

STAT = "cpu  {user} 0 0 {idle} 10 0 0 0 5 0\ncpu0 1 0 0 1 0 0 0 0 0 0\n"
MEMINFO = "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     750 kB\n"


def test_proc_gives_the_load_between_two_reads(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text(STAT.format(user=100, idle=90))
    (tmp_path / "meminfo").write_text(MEMINFO)
    load = ProcLoad(tmp_path)
    assert load.cpu() is None  # no time has passed
    (tmp_path / "stat").write_text(STAT.format(user=130, idle=160))
    assert (load.cpu(), load.memory()) == (30.0, (250 * 1024, 1000 * 1024))
    for name in ("stat", "meminfo"):
        (tmp_path / name).unlink()
    assert (load.cpu(), load.memory()) == (None, None)


@pytest.mark.parametrize("kind", [ProcLoad, PsutilLoad])
def test_this_machine_has_a_load(kind: type[HostLoad]) -> None:
    load = kind()
    used, total = load.memory() or (0, 0)
    assert 0 < used < total
    assert 0 <= (load.cpu() or 0.0) <= 100


@pytest.mark.parametrize(
    ("line", "folder", "files"),
    [
        ("0::/job\n", "job", {"memory.max": "800", "memory.current": "500", "memory.stat": "inactive_file 100\n"}),
        (
            "5:memory:/job\n",
            "memory/job",
            {
                "memory.limit_in_bytes": "800", "memory.usage_in_bytes": "500",
                "memory.stat": "inactive_file 1\ntotal_inactive_file 100\n",
            },
        ),
    ],
)  # fmt: skip
def test_the_limit_of_a_container(tmp_path: Path, line: str, folder: str, files: dict[str, str]) -> None:
    own, root = tmp_path / "cgroup", tmp_path / "fs"
    own.write_text(line)
    (root / folder).mkdir(parents=True)
    for name, text in files.items():
        (root / folder / name).write_text(text)
    assert container_memory(1_000, own, root) == (400, 800)
    assert container_memory(800, own, root) is None  # the limit is not below the memory of the machine


def _count(count: Any) -> int:
    count._obj.value = 2
    return 0


def _handle(index: int, handle: Any) -> int:
    handle._obj.value = index + 1
    return 0


def _uuid(handle: ctypes.c_void_p, text: Any, _size: object) -> int:
    text.value = f"GPU-{handle.value}{handle.value}".encode()
    return 0


def _utilization(handle: ctypes.c_void_p, used: Any) -> int:
    used._obj.gpu = 40 + (handle.value or 0)
    return 0


def _memory(handle: ctypes.c_void_p, memory: Any) -> int:
    memory._obj.total, memory._obj.used = 80 << 30, 20 << 30
    return 0 if handle.value == 1 else 3


def _temperature(handle: ctypes.c_void_p, _kind: int, value: Any) -> int:
    value._obj.value = 61
    return 0 if handle.value == 1 else 3


def _power(handle: ctypes.c_void_p, value: Any) -> int:
    value._obj.value = 250_500
    return 0 if handle.value == 1 else 3


# Two GPUs. The second reports only its use.
LIBRARY = SimpleNamespace(
    nvmlDeviceGetCount_v2=_count,
    nvmlDeviceGetHandleByIndex_v2=_handle,
    nvmlDeviceGetUUID=_uuid,
    nvmlDeviceGetUtilizationRates=_utilization,
    nvmlDeviceGetMemoryInfo=_memory,
    nvmlDeviceGetTemperature=_temperature,
    nvmlDeviceGetPowerUsage=_power,
)
FIRST = GpuLoad(busy=41.0, memory=25.0, temperature=61.0, power=250.5)
SECOND = GpuLoad(busy=42.0, memory=None, temperature=None, power=None)


@pytest.mark.parametrize(
    ("visible", "loads"),
    [
        (None, [FIRST, SECOND]),
        ("1,0", [SECOND, FIRST]),
        ("GPU-22", [SECOND]),
        ("7,MIG-1", []),
        ("", []),
        ("-1", []),
    ],
)
def test_gpus_that_a_worker_may_use(visible: str | None, loads: list[GpuLoad]) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert Nvml(LIBRARY, environment).loads() == loads
