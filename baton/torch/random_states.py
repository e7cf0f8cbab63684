"""The random generators of a process that uses PyTorch: those of Python, of NumPy, and of PyTorch on CPU and CUDA."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from baton.adapters import random_states as process
from baton.torch.tensors import to_host, to_tensor

_SPARE: list[Any] = []
"""Generators of NumPy that are not in use."""


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


def seed_host(*key: int) -> None:
    """Set the generators that are not on a device to a state that depends on this key only.

    `torch.manual_seed` would set those of the devices too, which the training uses.

    >>> seed_host(7, 0, 3)
    >>> drawn = random.random(), np.random.rand(), torch.rand(1).item()
    >>> seed_host(7, 0, 3)
    >>> drawn == (random.random(), np.random.rand(), torch.rand(1).item())
    True
    """
    digest = hashlib.blake2b(repr(key).encode()).digest()  # SeedSequence takes ten times as long
    random.seed(int.from_bytes(digest[:16], "big"))
    np.random.seed(np.frombuffer(digest[16:32], "<u4"))
    torch.default_generator.manual_seed(int.from_bytes(digest[32:39], "big"))


@contextmanager
def apart() -> Iterator[None]:
    """What the block draws from the generators that are not on a device does not change what is drawn after it.

    The second number of a pair that NumPy's `normal` has kept for its next call is forgotten: reading and setting the
    state of NumPy's generator takes longer than all else here, so it is exchanged for another one.
    """
    before = random.getstate(), torch.get_rng_state()
    with _numpy_apart():
        try:
            yield
        finally:
            random.setstate(before[0])
            torch.set_rng_state(before[1])


@contextmanager
def _numpy_apart() -> Iterator[None]:
    if not hasattr(np.random, "set_bit_generator"):  # before NumPy 1.24
        state = np.random.get_state()
        try:
            yield
        finally:
            np.random.set_state(state)
        return
    generator = np.random.get_bit_generator()  # type: ignore[attr-defined]
    np.random.set_bit_generator(_SPARE.pop() if _SPARE else np.random.MT19937())
    try:
        yield
    finally:
        _SPARE.append(np.random.get_bit_generator())  # type: ignore[attr-defined]
        np.random.set_bit_generator(generator)
