"""All variables that a step reads or changes: copied to host memory, and assigned again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random import seed_generator
from numpy.typing import NDArray

from baton.adapters.state_files import Bits
from baton.program.errors import ProgramError

_SHARED = "global_seed_generator"
_NUMBER = re.compile(r"_\d+(?=[_/]|$)")
_FIX = "Build the same model as before, or begin a new run: without a worker, delete the folder of the run"


def tracked(model: Any) -> list[Any]:
    """The variables of the model, its metrics and its optimizers, each one once.

    The order is that of their creation, so it is the same in each process that builds the same model.
    """
    found = [*model.variables, *model.metrics_variables]
    for optimizer in _optimizers(model):
        found += of_optimizer(optimizer)
    return list({id(variable): variable for variable in found}.values())


def of_optimizer(optimizer: Any) -> list[Any]:
    """The variables of an optimizer, and of those that a MultiOptimizer has."""
    return [*optimizer.variables, *(one for inner in getattr(optimizer, "optimizers", ()) for one in inner.variables)]


def _optimizers(model: Any) -> Iterator[Any]:
    """The compiled optimizer, and those that a model with its own `compile` has as attributes."""
    for value in [getattr(model, "optimizer", None), *vars(model).values()]:
        for one in (
            value if isinstance(value, list | tuple) else value.values() if isinstance(value, dict) else (value,)
        ):
            if isinstance(one, keras.optimizers.Optimizer):
                yield one


def capture(model: Any) -> dict[str, Any]:
    """Copies of all variables, with their paths, and of the state of Keras's global seed generator."""
    # A generator that does not exist must not be made here: its seed would be drawn from Python's generator.
    shared = global_state.get_global_attribute(_SHARED)
    return {
        "variables": copies(tracked(model)),
        "seed": None if shared is None else _copy(shared.state),
    }


def copies(variables: Iterable[Any]) -> list[dict[str, Any]]:
    """Copies of variables, with their paths."""
    return [{"path": one.path, "value": _copy(one)} for one in variables]


def _copy(variable: Any) -> NDArray[Any]:
    return np.array(keras.ops.convert_to_numpy(variable))


def restore(model: Any, state: dict[str, Any]) -> None:
    """Assign what `capture` returned.

    Raises:
        ProgramError: the model has other variables. The message names the first one.
    """
    variables, saved = tracked(model), state["variables"]
    for variable, one in zip(variables, saved, strict=False):
        _check(variable, one)
    if len(variables) < len(saved):
        raise ProgramError(f"the save has the variable {saved[len(variables)]['path']}, and the model does not. {_FIX}")
    if len(variables) > len(saved):
        raise ProgramError(f"the model has the variable {variables[len(saved)].path}, and the save does not. {_FIX}")
    assign(variables, saved)
    if state["seed"] is not None:
        seed_generator.global_seed_generator().state.assign(state["seed"])


def assign(variables: Sequence[Any], saved: Sequence[dict[str, Any]]) -> None:
    """Assign what `copies` returned of the same number of variables.

    Raises:
        ProgramError: one has another shape, type or name.
    """
    for variable, one in zip(variables, saved, strict=True):
        _check(variable, one)
    for variable, one in zip(variables, saved, strict=True):
        variable.assign(_array(one["value"]))


def lacks_some(model: Any, state: dict[str, Any]) -> bool:
    """Whether the save has more variables than the model. Some models make variables in their first step."""
    return len(tracked(model)) < len(state["variables"])


def _check(variable: Any, one: dict[str, Any]) -> None:
    path, value = one["path"], one["value"]
    shape, dtype = (value.values.shape, value.dtype) if isinstance(value, Bits) else (value.shape, value.dtype.name)
    now = keras.backend.standardize_dtype(variable.dtype)
    # Keras numbers the names of layers in a process: a model that is built again in a notebook has other numbers.
    if (_name(path), tuple(shape), dtype) != (_name(variable.path), tuple(variable.shape), now):
        raise ProgramError(
            f"the variable {variable.path} ({now}, shape {tuple(variable.shape)}) does not fit what is saved there: "
            f"{path} ({dtype}, shape {tuple(shape)}). {_FIX}"
        )


def _name(path: str) -> str:
    """The path without the numbers that Keras adds to equal names.

    >>> _name("adam/dense_12_kernel_momentum")
    'adam/dense_kernel_momentum'
    """
    return _NUMBER.sub("", path)


def _array(value: NDArray[Any] | Bits) -> NDArray[Any]:
    return value.array() if isinstance(value, Bits) else value
