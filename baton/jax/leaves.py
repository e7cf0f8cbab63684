"""The leaves of a pytree as values for `write_tree`, and back."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from baton.adapters.state_files import Bits
from baton.program.errors import ProgramError

ARRAY = "array"
_NUMBERS = (bool, int, float, np.generic)
_VALUES = (*_NUMBERS, str, bytes, np.ndarray)


def leaves_of(tree: Any) -> dict[str, Any]:
    """The leaves of the pytree by their paths.

    >>> list(leaves_of({"params": {"w": 1.0, "b": 2.0}, "step": 0}))
    ["['params']['b']", "['params']['w']", "['step']"]
    """
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def to_host(leaves: dict[str, Any], place: str) -> dict[str, Any]:
    """Copies of the leaves on the host, for `write_tree`. A step may donate the arrays afterwards.

    Raises:
        ProgramError: a leaf is of a type that a save cannot hold, or a part of an array is on another machine.
    """
    for name, leaf in leaves.items():
        if isinstance(leaf, jax.Array):
            if not leaf.is_fully_addressable:
                raise ProgramError(f"{place}{name} is on several machines, and a save has what this process can read")
        elif not isinstance(leaf, _VALUES):
            raise ProgramError(
                f"{place}{name} has the type {type(leaf).__qualname__}, which a save cannot hold. Arrays, random keys "
                "and numbers can be saved; make all else a static field of its node, or leave it out of the tree"
            )
    arrays = {name: _data(leaf) for name, leaf in leaves.items() if isinstance(leaf, jax.Array)}
    copied = jax.device_get(arrays)  # starts all copies, then waits for them
    return {name: _kept(leaf, copied.get(name)) for name, leaf in leaves.items()}


def from_host(saved: Any, like: Any, place: str) -> Any:
    """A leaf from what `to_host` made of one. `like`: the leaf that the script has made.

    Raises:
        ProgramError: it is of another shape or type than `like`.
    """
    _check(saved, like, place)
    if not isinstance(saved, dict):
        return _array(saved).copy() if isinstance(saved, np.ndarray | Bits) else saved
    array = _array(saved[ARRAY])
    if saved.get("weak"):
        return _weak(array)
    # A key has more dimensions in its data than itself, so it cannot use the sharding of `like` before it is wrapped.
    made = jnp.array(array) if "key" not in saved else jax.random.wrap_key_data(jnp.array(array), impl=saved["key"])
    committed = isinstance(like, jax.Array) and getattr(like, "committed", False)
    return jax.device_put(made, like.sharding) if committed else made


def _array(saved: Any) -> Any:
    return saved.values.view(jnp.dtype(saved.dtype)) if isinstance(saved, Bits) else saved


def _data(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _kept(leaf: Any, copied: Any) -> Any:
    if not isinstance(leaf, jax.Array):
        return leaf.copy() if isinstance(leaf, np.ndarray) else leaf
    # On a CPU the result of device_get is the memory of the array itself.
    is_shared = any(device.platform == "cpu" for device in leaf.devices())
    found: dict[str, Any] = {ARRAY: np.array(copied) if is_shared else copied}
    if _is_key(leaf):
        found["key"] = str(jax.random.key_impl(leaf))
    elif leaf.weak_type:
        found["weak"] = True
    return found


def _weak(array: Any) -> Any:
    """An array whose type gives way to that of what it is computed with, like a Python number."""
    if array.ndim == 0:
        return jnp.asarray(array.item())
    return jnp.stack([_weak(row) for row in array])


def described(value: Any) -> str:
    """Type and shape of a leaf or of what `to_host` made of it, as they must be the same in the save and the script.

    >>> described(jnp.ones((2, 3), jnp.bfloat16)), described(7)
    ('bfloat16(2, 3)', 'int')
    """
    if isinstance(value, dict):
        array = value[ARRAY]
        if "key" in value:
            shape = jax.eval_shape(lambda data: jax.random.wrap_key_data(data, impl=value["key"]), array).shape
            return f"key of {value['key']}{shape}"
        value = array
    if isinstance(value, Bits):
        return f"{value.dtype}{value.values.shape}"
    if _is_key(value):
        return f"key of {jax.random.key_impl(value)}{value.shape}"
    if isinstance(value, jax.Array | np.ndarray):
        return f"{value.dtype}{value.shape}"
    return type(value).__name__


def _check(saved: Any, like: Any, place: str) -> None:
    now, before = described(like), described(saved)
    # A step may have made an array of a number.
    number = (isinstance(like, _NUMBERS) and before.endswith("()")) or (isinstance(saved, _NUMBERS) and "()" in now)
    if now != before and not number:
        raise ProgramError(
            f"{place} is {now}, and {before} in the save. Make the tree as the run did that made the save, or begin a "
            "new run"
        )
