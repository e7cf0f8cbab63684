"""Objects of `flax.nnx`. Unlike pytrees of values they are changed in place, and the script holds them."""

from __future__ import annotations

import sys
from typing import Any


def is_module(tree: Any) -> bool:
    """Whether the tree is a module, an optimizer or another object of `flax.nnx`.

    >>> is_module({"w": 1.0})
    False
    """
    nnx = sys.modules.get("flax.nnx")
    return nnx is not None and isinstance(tree, getattr(nnx, "Pytree", None) or nnx.Object)


def tree_of(tree: Any) -> Any:
    """The pytree that holds all values of the tree, with the random keys and counts of an object."""
    return sys.modules["flax.nnx"].state(tree) if is_module(tree) else tree


def set_module(module: Any, values: Any) -> None:
    """Set the values of an object to a tree that `tree_of` returned."""
    sys.modules["flax.nnx"].update(module, values)
