"""The variables of objects of Keras that callbacks have as attributes, such as metrics and other models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras

from baton.keras import variables


def held_by(value: Any) -> list[Any] | None:
    """The variables of an object of Keras, or of a list, tuple or dictionary of them. None if it is something else.

    >>> [one.path for one in held_by([keras.metrics.Mean(name="m"), keras.metrics.Sum(name="s")])]
    ['m/total', 'm/count', 's/total']
    >>> held_by([keras.metrics.Mean(), 3]) is None, held_by([]) is None
    (True, True)
    """
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        parts = [held_by(one) for one in value]
        found = [one for part in parts if part is not None for one in part]
        return found if parts and None not in parts else None
    if isinstance(value, keras.Variable):
        return [value]
    if isinstance(value, keras.Model):
        return variables.tracked(value)
    if isinstance(value, keras.optimizers.Optimizer):
        return variables.of_optimizer(value)
    if isinstance(value, keras.Layer | keras.metrics.Metric):
        return list(value.variables)
    return [value.state] if isinstance(value, keras.random.SeedGenerator) else None


def capture(value: Any, model: Any) -> list[dict[str, Any]] | None:
    """Copies of the variables that are not those of the model that is trained. None: no object of Keras."""
    found = held_by(value)
    return None if found is None else variables.copies(_others(found, model))


def restore(name: str, value: Any, saved: list[dict[str, Any]], model: Any, note: Callable[[str], object]) -> None:
    """Assign what `capture` returned. `name`: of the attribute, for messages.

    Raises:
        ProgramError: a variable has another shape or type.
    """
    now = list(_others(held_by(value) or [], model))
    if len(now) != len(saved):
        note(
            f"{name} had {len(saved)} variables at the save and has {len(now)} now, so they begin anew: make and build "
            "it before on_train_begin of the callback ends"
        )
        return
    variables.assign(now, saved)


def _others(found: list[Any], model: Any) -> Iterator[Any]:
    own = {id(one) for one in variables.tracked(model)}
    for one in found:
        if id(one) not in own:
            own.add(id(one))
            yield one
