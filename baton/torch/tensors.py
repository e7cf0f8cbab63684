"""Trees with tensors as trees of arrays for `write_tree`, and back."""

from __future__ import annotations

import functools
import types
import weakref
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from baton.adapters.state_files import Bits
from baton.program.errors import ProgramError

TENSOR, KEPT = "$tensor", "$kept"
_SAME_SIZE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_CODE = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    functools.partial,
    type,
    weakref.ref,  # such as WeakMethod, which CyclicLR of PyTorch 1.13 has in its state
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
)
"""What the script makes again: a schedule may have its function in its state."""
_VALUES = (type(None), bool, int, float, str, bytes)


def to_host(value: Any, place: str) -> Any:
    """A copy of the value as a tree for `write_tree`.

    A tensor is a dictionary with its array, and with its strides and its device if they are not the usual ones. Code,
    such as a function, is only marked: the script makes it again.

    Raises:
        ProgramError: it has a value of another type. The message names the place.

    >>> to_host({"w": torch.ones(2), "betas": (0.9, 0.95)}, "adam")
    {'w': {'$tensor': array([1., 1.], dtype=float32)}, 'betas': (0.9, 0.95)}
    """
    if isinstance(value, torch.Tensor):
        return _from_tensor(value, place)
    if isinstance(value, np.ndarray | np.generic):
        return value.copy()
    if isinstance(value, dict):
        return {key: to_host(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [to_host(item, f"{place}.{k}") for k, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, _CODE):
        return {KEPT: getattr(value, "__qualname__", type(value).__name__)}
    if isinstance(value, _VALUES):
        return value
    raise ProgramError(
        f"{place} has the type {type(value).__qualname__}, which a save cannot hold. It can hold tensors, arrays, "
        "numbers, text, None, and lists, tuples and dictionaries of them"
    )


def from_host(saved: Any, live: Any, place: str) -> Any:
    """What `to_host` was given, as new objects. `live`: what is at this place now, or anything else.

    Raises:
        ProgramError: code was marked at this place, and `live` has none.
    """
    if isinstance(saved, dict):
        if TENSOR in saved:
            return to_tensor(saved, live)
        if KEPT in saved:
            if isinstance(live, _CODE):
                return live
            raise ProgramError(f"{place} was {saved[KEPT]} at the save, and the script does not set it now")
        known = live if isinstance(live, dict) else {}
        named = {key: from_host(item, known.get(key), f"{place}.{key}") for key, item in saved.items()}
        return _as_its_type(named, live)
    if isinstance(saved, list | tuple):
        there = [*live] if isinstance(live, list | tuple) else []
        there += [None] * (len(saved) - len(there))
        items = [from_host(item, there[k], f"{place}.{k}") for k, item in enumerate(saved)]
        return tuple(items) if isinstance(saved, tuple) else items
    return saved.copy() if isinstance(saved, np.ndarray) else saved


def to_tensor(saved: dict[str, Any], live: Any = None) -> Any:
    """A new tensor from what `to_host` made of one, on the device of `live` if that is a tensor."""
    array = saved[TENSOR]
    if isinstance(array, Bits):
        tensor = torch.from_numpy(np.asarray(array.values)).view(getattr(torch, array.dtype))
    else:
        tensor = torch.from_numpy(np.asarray(array))
    device = live.device if isinstance(live, torch.Tensor) else saved.get("device", "cpu")
    if "strides" not in saved:
        return tensor.to(device, copy=True)
    placed = torch.empty_strided(tensor.shape, saved["strides"], dtype=tensor.dtype, device=device)
    return placed.copy_(tensor)


def described(saved: dict[str, Any]) -> tuple[tuple[int, ...], str]:
    """Shape and type of a tensor from what `to_host` made of it.

    >>> described(to_host(torch.ones(2, 3, dtype=torch.bfloat16), "w"))
    ((2, 3), 'bfloat16')
    """
    array = saved[TENSOR]
    if isinstance(array, Bits):
        return array.values.shape, array.dtype
    return array.shape, str(array.dtype)


def _from_tensor(tensor: Any, place: str) -> dict[str, Any]:
    if problem := _problem(tensor):
        raise ProgramError(f"{place} {problem}")
    plain = tensor.detach()
    found: dict[str, Any] = {TENSOR: _array(plain, place)}
    if not plain.is_contiguous():
        # Optimizers take another path for tensors of another layout, whose last bit may differ.
        dense = torch.empty_like(plain).stride() == plain.stride()
        if dense:
            found["strides"] = list(plain.stride())
    if plain.device.type != "cpu":
        found["device"] = str(plain.device)
    return found


def _array(tensor: Any, place: str) -> NDArray[Any] | Bits:
    try:
        host = tensor.to("cpu", copy=True).resolve_conj().resolve_neg().contiguous()
    except RuntimeError as error:
        raise ProgramError(f"{place} cannot be copied to host memory: {error}") from error
    try:
        array: NDArray[Any] = host.numpy()
    except TypeError:  # bfloat16 and others
        return _bits(host, place)
    return array


def _bits(host: Any, place: str) -> Bits:
    name = str(host.dtype).removeprefix("torch.")
    try:
        return Bits(name, host.view(_SAME_SIZE[host.element_size()]).numpy())
    except (KeyError, RuntimeError, TypeError) as error:
        raise ProgramError(f"{place} has the type {name}, which a save cannot hold: {error}") from error


def _problem(tensor: Any) -> str:
    kind = type(tensor)
    if torch.nn.parameter.is_lazy(tensor):
        return "has no shape yet: run one batch through the model before track"
    if tensor.is_quantized or tensor.layout is not torch.strided:
        what = "a quantized tensor" if tensor.is_quantized else f"a tensor of the layout {tensor.layout}"
        return f"is {what}, which a save cannot hold. Track its dense values, or save it yourself with run.save"
    if tensor.device.type == "meta":
        return "is on the device `meta`, so it has no values: materialize the model before track"
    if kind not in (torch.Tensor, torch.nn.Parameter, getattr(torch.nn, "Buffer", torch.Tensor)):
        return (
            f"is a {kind.__qualname__}, a subclass of Tensor that may have more than its values. Track what it is made "
            "from, or save it yourself with run.save"
        )
    return ""


def _as_its_type(items: dict[Any, Any], live: Any) -> Any:
    """`items` as a dictionary of the type of `live`: MultiStepLR has a Counter in its state."""
    if type(live) is dict or not isinstance(live, dict):
        return items
    typed = live.copy()  # keeps what the type has beside its items, such as the default of a defaultdict
    typed.clear()
    typed.update(items)
    return typed
