"""The state of a model: its parameters and buffers, and the modes of its modules."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

from baton.program.errors import ProgramError
from baton.torch.tensors import TENSOR, described, from_host, to_host

_COMPILED = "_orig_mod."
"""What torch.compile puts into names."""


class ModuleState:
    """A module. Wrappers of torch.compile, DataParallel and DistributedDataParallel do not count: their names change
    when the script does without them.
    """

    def __init__(self, name: str, module: Any) -> None:
        self._name = name
        self._module = unwrapped(module)

    def read(self) -> dict[str, Any]:
        """A copy of the state dict, which modules are in evaluation mode, and which parameters are frozen.

        The modes belong to the state: a script that continues inside an epoch does not run again what set them.
        """
        tensors = self._module.state_dict()
        return {
            "state": {plain(key): to_host(value, f"{self._name}.{plain(key)}") for key, value in tensors.items()},
            "evaluated": [plain(name) for name, one in self._module.named_modules() if not one.training],
            "frozen": [plain(name) for name, one in self._module.named_parameters() if not one.requires_grad],
        }

    def set(self, saved: dict[str, Any]) -> None:
        """Copy the values into the parameters and buffers, so that shared ones stay shared."""
        live = self._module.state_dict()
        names = {plain(key): key for key in live}
        self._check(saved["state"], {name: live[key] for name, key in names.items()})
        state = OrderedDict[str, Any]()
        for name, value in saved["state"].items():
            state[names[name]] = from_host(value, live[names[name]], f"{self._name}.{name}")
        # The versions of the modules. Without them some modules convert the state as that of an old version.
        state._metadata = getattr(live, "_metadata", None)  # type: ignore[attr-defined]
        try:
            self._module.load_state_dict(state)
        except RuntimeError as error:
            raise ProgramError(f"{self._name} does not take its saved state: {error}") from error
        evaluated, frozen = set(saved["evaluated"]), set(saved["frozen"])
        for name, module in self._module.named_modules():
            module.training = plain(name) not in evaluated
        for name, parameter in self._module.named_parameters():
            parameter.requires_grad_(plain(name) not in frozen)

    def _check(self, saved: dict[str, Any], live: dict[str, Any]) -> None:
        advice = "Build the model as the run did that made the save, or begin a new run"
        for name in [*saved, *live]:
            place = f"{self._name}.{name}"
            if name not in live:
                raise ProgramError(f"{place} is in the save, and the model has no such name. {advice}")
            if name not in saved:
                raise ProgramError(f"{place} is not in the save. {advice}")
            tensor, item = live[name], saved[name]
            if not isinstance(tensor, torch.Tensor) or not isinstance(item, dict) or TENSOR not in item:
                continue
            shape, dtype = described(item)
            now = str(tensor.dtype).removeprefix("torch.")
            if tuple(tensor.shape) != shape:
                raise ProgramError(f"{place} has the shape {tuple(tensor.shape)}, and {shape} in the save. {advice}")
            if now != dtype:
                raise ProgramError(f"{place} has the type {now}, and {dtype} in the save. {advice}")


def unwrapped(module: Any) -> Any:
    """The module inside the wrappers.

    >>> inner = torch.nn.Linear(1, 1)
    >>> unwrapped(torch.nn.DataParallel(inner)) is inner
    True
    """
    while True:
        if isinstance(module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(getattr(module, "_orig_mod", None), torch.nn.Module):
            module = module._orig_mod
        else:
            return module


def plain(name: str) -> str:
    """The name without what torch.compile puts into it.

    >>> plain("body._orig_mod.0.weight"), plain("body._orig_mod")
    ('body.0.weight', 'body')
    """
    return f"{name}.".replace(_COMPILED, "").removesuffix(".")
