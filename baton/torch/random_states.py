"""The random generators of a process that uses PyTorch: those of Python, of NumPy, and of PyTorch on CPU and CUDA."""

from __future__ import annotations

from typing import Any

import torch

from baton.adapters import random_states as process
from baton.torch.tensors import to_host, to_tensor


def random_states() -> dict[str, Any]:
    """The states of all generators, as a tree for `write_tree`.

    Those of CUDA are read only if the process uses CUDA: reading them would occupy memory of each device.
    """
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {**host_states(), "cuda": to_host(list(cuda), "cuda")}


def set_random_states(states: dict[str, Any]) -> None:
    """Set all generators. A device that is no longer there is left out."""
    set_host_states(states)
    if states["cuda"] and torch.cuda.is_available():
        for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(to_tensor(state), device)


def host_states() -> dict[str, Any]:
    """The states of the generators that are not on a device."""
    return {**process.random_states(), "torch": to_host(torch.get_rng_state(), "torch")}


def set_host_states(states: dict[str, Any]) -> None:
    """Set the generators that are not on a device."""
    process.set_random_states(states)
    torch.set_rng_state(to_tensor(states["torch"]))
