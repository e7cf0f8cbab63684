"""Assigns the GPUs of a machine to its workers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from baton.local.errors import StackError
from baton.system.gpus import gpus

VISIBLE, ORDER, EACH = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "BATON_GPUS"


def environments(workers: int | None, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """Additional environment variables of each worker. BATON_GPUS: number of GPUs for each worker, by default 1.

    `workers` None: as many as the GPUs allow. With BATON_GPUS=0 workers train on the CPU, by default one worker. The
    same applies if the installed TensorFlow has no CUDA: otherwise such workers would take no work.

    Raises:
        StackError: BATON_GPUS is not a number, or larger than the number of GPUs.
    """
    if without_cuda(environment):
        return [{EACH: "0"}] * (1 if workers is None else workers)
    found, each = _devices(environment), _each(environment)
    if not found or not each:
        return [{}] * (1 if workers is None else workers)
    if each > len(found):
        raise StackError(f"{EACH}={each}, and this machine has {len(found)} GPUs to use: set a lower number")
    parts = [found[k : k + each] for k in range(0, len(found) - each + 1, each)]
    count = len(parts) if workers is None else workers
    return [{VISIBLE: ",".join(parts[k % len(parts)]), ORDER: "PCI_BUS_ID"} for k in range(count)]


def without_cuda(environment: Mapping[str, str]) -> bool:
    """Whether there are GPUs that the installed CPU build of TensorFlow cannot use, and BATON_GPUS is not set."""
    return EACH not in environment and _cpu_build() and bool(_devices(environment))


def _cpu_build() -> bool:
    try:
        return bool(version("tensorflow-cpu"))
    except PackageNotFoundError:
        return False


def _devices(environment: Mapping[str, str]) -> list[str]:
    """The GPUs to use: those in CUDA_VISIBLE_DEVICES, otherwise all."""
    if (chosen := environment.get(VISIBLE)) is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    return [str(k) for k in range(len(gpus()))]


def _each(environment: Mapping[str, str]) -> int:
    text = environment.get(EACH, "1")
    if not text.isdigit():
        raise StackError(f"{EACH}={text!r}: must be a whole number, at least 0")
    return int(text)
