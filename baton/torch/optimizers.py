"""The state of an optimizer, and the gradients that it has not used yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from baton.program.errors import ProgramError
from baton.torch.tensors import from_host, to_host, to_tensor


class OptimizerState:
    """An optimizer. Its state may not be there yet: most optimizers make it in their first step."""

    def __init__(self, name: str, optimizer: Any) -> None:
        self._name = name
        self._optimizer = optimizer
        self._stepped = False
        if hasattr(optimizer, "register_step_post_hook"):  # since PyTorch 2.0
            optimizer.register_step_post_hook(self._after_step)

    def read(self) -> dict[str, Any]:
        """A copy of the state dict, and of the gradients."""
        return {
            "state": to_host(self._optimizer.state_dict(), self._name),
            "gradients": self._gradients(),
        }

    def set(self, saved: dict[str, Any]) -> None:
        """Set the state, the options of the groups and the gradients."""
        live = self._optimizer.state_dict()
        self._check(saved["state"]["param_groups"], live["param_groups"])
        state = from_host(saved["state"], live, self._name)
        try:
            self._optimizer.load_state_dict(state)
        except (ValueError, RuntimeError, KeyError) as error:
            raise ProgramError(f"{self._name} does not take its saved state: {error}") from error
        self._restore_as_saved(saved["state"]["state"])
        self._set_gradients(saved["gradients"])

    def begin_step(self) -> None:
        """A step of the loop begins: from now on it counts whether the optimizer has used its gradients."""
        self._stepped = False

    def _after_step(self, *_: Any) -> None:
        self._stepped = True

    def _check(self, saved: list[dict[str, Any]], live: list[dict[str, Any]]) -> None:
        if len(saved) != len(live):
            raise ProgramError(
                f"{self._name} has {len(live)} groups of parameters, and {len(saved)} in the save. Call "
                "add_param_group() before track for the groups that were added during the training"
            )
        for number, (before, now) in enumerate(zip(saved, live, strict=True)):
            if len(before["params"]) != len(now["params"]):
                raise ProgramError(
                    f"{self._name}.param_groups.{number} has {len(now['params'])} parameters, and "
                    f"{len(before['params'])} in the save. Build the model and the optimizer as the run did that made "
                    "the save, or begin a new run"
                )

    def _restore_as_saved(self, saved: dict[Any, Any]) -> None:
        # load_state_dict casts to the type of the parameter: a float32 copy of a bfloat16 parameter would lose bits.
        for index, parameter in enumerate(self._parameters()):
            state = self._optimizer.state.get(parameter)
            for key, item in saved.get(index, {}).items() if isinstance(state, dict) else ():
                value = state.get(key)
                if isinstance(value, torch.Tensor):
                    exact = to_tensor(item, value)
                    if (exact.dtype, exact.stride()) != (value.dtype, value.stride()):
                        state[key] = exact

    def _gradients(self) -> dict[int, Any]:
        """The gradients by the number of their parameter.

        If the optimizer has used them, only that they are there: `zero_grad(set_to_none=False)` makes zeros of them,
        and an optimizer updates a parameter with a gradient of zeros, but not one without a gradient. If it has not,
        the script accumulates gradients, and they are part of the state.
        """
        found: dict[int, Any] = {}
        for index, parameter in enumerate(self._parameters()):
            if parameter.grad is not None:
                used = self._stepped or parameter.grad.layout is not torch.strided
                found[index] = None if used else to_host(parameter.grad, f"{self._name}.gradients.{index}")
        return found

    def _set_gradients(self, saved: dict[int, Any]) -> None:
        self._stepped = not any(item is not None for item in saved.values())
        for index, parameter in enumerate(self._parameters()):
            item = saved.get(index)
            if item is not None:
                parameter.grad = to_tensor(item, parameter)
            else:
                parameter.grad = torch.zeros_like(parameter) if index in saved else None

    def _parameters(self) -> Iterator[Any]:
        for group in self._optimizer.param_groups:
            yield from group["params"]
