"""The objects that `track` takes, each as something whose state can be read and set."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from baton.adapters.differences import first_difference
from baton.program.errors import ProgramError
from baton.torch.modules import ModuleState
from baton.torch.optimizers import OptimizerState
from baton.torch.tensors import TENSOR, described, from_host, to_host, to_tensor


class State(Protocol):
    """An object whose state is a tree for `write_tree`."""

    def read(self) -> Any:
        """A copy of the state, on the host.

        Raises:
            ProgramError: a save cannot hold something of it.
        """
        ...

    def set(self, saved: Any) -> None:
        """Set the state to what `read` returned.

        Raises:
            ProgramError: it does not fit the object.
        """
        ...


def state_of(name: str, target: Any) -> State:
    """How the state of this object is read and set.

    Raises:
        ProgramError: it has no state that can be read and set.
    """
    if isinstance(target, torch.nn.Module):
        return ModuleState(name, target)
    if isinstance(target, torch.optim.Optimizer):
        return OptimizerState(name, target)
    if isinstance(target, dict):
        return _Values(name, target)
    if isinstance(target, np.random.Generator):
        bits = target.bit_generator
        return _Pair(name, lambda: bits.state, lambda state: setattr(bits, "state", state))
    if isinstance(target, random.Random):
        return _Pair(name, target.getstate, target.setstate)
    for read, write in (("state_dict", "load_state_dict"), ("get_state", "set_state")):
        if callable(getattr(target, read, None)) and callable(getattr(target, write, None)):
            return _Pair(name, getattr(target, read), getattr(target, write))
    raise ProgramError(
        f"track: {name} is a {type(target).__qualname__}, which has neither state_dict() and load_state_dict() nor "
        "get_state() and set_state(). Track a dictionary for plain values, and change it in place"
    )


def set_and_verify(name: str, state: State, saved: Any) -> None:
    """Set the state, then compare it with what was saved.

    Raises:
        ProgramError: it does not fit, or setting it did not restore all of it.
    """
    state.set(saved)
    different = first_difference(saved, state.read(), name)
    if different is not None:
        raise ProgramError(
            f"{different.replace(f'.{TENSOR}', '')} after its state was set: its class does not restore all that it "
            "saves. Correct its load_state_dict() or set_state(), or track something else"
        )


class _Pair:
    """An object with a method that returns its state, and one that takes it."""

    def __init__(self, name: str, read: Callable[[], Any], write: Callable[[Any], object]) -> None:
        self._name = name
        self._read = read
        self._write = write

    def read(self) -> Any:
        """A copy of the state."""
        return to_host(self._read(), self._name)

    def set(self, saved: Any) -> None:
        """Set the state."""
        try:
            self._write(from_host(saved, self._read(), self._name))
        except (ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
            raise ProgramError(f"{self._name} does not take its saved state: {error}") from error


class _Values:
    """A dictionary of plain values and tensors. It is changed in place, as the script has to do it."""

    def __init__(self, name: str, target: dict[Any, Any]) -> None:
        self._name = name
        self._target = target

    def read(self) -> Any:
        """A copy of the dictionary."""
        return to_host(self._target, self._name)

    def set(self, saved: Any) -> None:
        """Replace the values; copy tensors into those that are there."""
        target = self._target
        for key in [key for key in target if key not in saved]:
            del target[key]
        for key, item in saved.items():
            live, place = target.get(key), f"{self._name}.{key}"
            if isinstance(live, torch.Tensor) and isinstance(item, dict) and TENSOR in item:
                _copy_into(live, item, place)
            else:
                target[key] = from_host(item, live, place)


def _copy_into(live: Any, saved: dict[str, Any], place: str) -> None:
    now = tuple(live.shape), str(live.dtype).removeprefix("torch.")
    if now != described(saved):
        shape, dtype = described(saved)
        raise ProgramError(
            f"{place} is {now[1]} of the shape {now[0]}, and was {dtype} of the shape {shape} at the save"
        )
    with torch.no_grad():
        live.copy_(to_tensor(saved))
