"""Takes from a checkpoint what fits a network: all of its weights, or those with the same name and shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from worker.checkpointing.snapshot import Arrays

NETWORK, OPTIMIZER = "network/", "optimizer/"
_SEEDS, _RATE = "seed_generator", "/learning_rate"


@dataclass(frozen=True)
class Taken:
    """`network`: names of the network's variables that were set. `left_out`: those that the checkpoint does not have in
    this shape. `optimizer`: whether the optimizer's state was taken.
    """

    network: tuple[str, ...]
    left_out: tuple[str, ...]
    optimizer: bool


def take_fitting(variables: Mapping[str, Any], arrays: Arrays) -> Taken:
    """Set the variables to the arrays with the same name, shape and type.

    Random generators keep their state: it is that of the new seed. The optimizer's state, without the learning rate, is
    taken if all of it and all weights fit.

    Raises:
        JobFailure: unsupported, no weight fits.
    """
    weights = [name for name in variables if name.startswith(NETWORK) and _SEEDS not in name]
    taken = [name for name in weights if _fits(variables[name], arrays.get(name))]
    if not taken:
        text = "no weight of the checkpoint to start from fits this network: start from a job with the same network"
        raise JobFailure(Reason.UNSUPPORTED, text)
    state = [name for name in variables if name.startswith(OPTIMIZER) and not name.endswith(_RATE)]
    whole = len(taken) == len(weights) and all(_fits(variables[name], arrays.get(name)) for name in state)
    for name in (*taken, *(state if whole else ())):
        variables[name].assign(arrays[name])
    return Taken(tuple(taken), tuple(name for name in weights if name not in taken), whole)


def _fits(variable: Any, array: Any) -> bool:
    return array is not None and (tuple(variable.shape), str(variable.dtype)) == (array.shape, str(array.dtype))
