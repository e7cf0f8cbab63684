"""The number of CPUs of this process, from files as the kernel writes them in containers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from baton.system.cpus import cpu_quota, cpus

NESTED, OLD = "0::/a/b\n", "4:cpu,cpuacct:/pods/1\n1:name=systemd:/x\n"


def groups(folder: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Make a file like /proc/self/cgroup and a folder like /sys/fs/cgroup."""
    (folder / "own").write_text(own)
    for name, text in files.items():
        file = folder / "root" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return folder / "own", folder / "root"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "400000 100000"}, 4.0),
        ("0::/\n", {"cpu.max": "max 100000"}, None),
        ("0::/\n", {}, None),
        (NESTED, {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, 1.5),
        (NESTED, {"a/b/cpu.max": "50000 100000", "a/cpu.max": "150000 100000"}, 0.5),
        ("0::/../../pod/x\n", {"cpu.max": "200000 100000"}, 2.0),
        (OLD, {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0),
        (OLD, {"cpu,cpuacct/pods/cpu.cfs_quota_us": "-1", "cpu,cpuacct/pods/cpu.cfs_period_us": "100000"}, None),
        ("", {}, None),
        ("0::/\n", {"cpu.max": "nonsense"}, None),
    ],
)
def test_the_narrowest_quota_counts(tmp_path: Path, own: str, files: dict[str, str], expected: float | None) -> None:
    assert cpu_quota(*groups(tmp_path, own, files)) == expected


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux")
@pytest.mark.parametrize(
    ("limit", "allowed", "expected"),
    [
        ("400000 100000", 64, 4),
        ("250000 100000", 64, 3),
        ("50000 100000", 64, 1),
        ("max 100000", 64, 64),
        ("400000 100000", 2, 2),
    ],
)
def test_the_cpus_of_a_pod_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, allowed: int, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert cpus(*groups(tmp_path, "0::/\n", {"cpu.max": limit})) == expected
