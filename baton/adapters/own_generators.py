"""The random generators that a data set, a sampler or a transformation has of its own, as attributes."""

from __future__ import annotations

import functools
import random
import sys
import types
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

OBJECTS, MEMBERS, DEPTH = 2000, 64, 5
"""Limits of the search: objects below one owner, members of one collection, depth."""
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type, types.ModuleType, np.ndarray, np.generic, np.dtype)
_FOREIGN = {
    "PIL",
    "grain",  # sets its generators itself for each sample
    "h5py",
    "jax",
    "jaxlib",
    "keras",
    "logging",
    "numpy",
    "pandas",
    "pyarrow",
    "tensorflow",
    "zarr",
}
"""Packages whose objects are not searched."""


@dataclass(frozen=True)
class OwnGenerator:
    """A generator of NumPy, Python or torch. `name`: where it was found, such as `dataset.rng`."""

    name: str
    target: Any

    def state(self) -> Any:
        """A copy of its state, as a tree for `write_tree`."""
        target = self.target
        if isinstance(target, random.Random):
            version, words, gauss = target.getstate()
            return version, np.array(words, np.uint32), gauss
        if isinstance(target, np.random.Generator):
            return target.bit_generator.state
        if isinstance(target, np.random.RandomState):
            return target.get_state(legacy=False)
        return target.get_state().numpy().copy()

    def set(self, state: Any) -> None:
        """Set its state."""
        target = self.target
        if isinstance(target, random.Random):
            version, words, gauss = state
            target.setstate((version, tuple(words.tolist()), gauss))
        elif isinstance(target, np.random.Generator):
            target.bit_generator.state = state
        elif isinstance(target, np.random.RandomState):
            target.set_state(state)
        else:
            target.set_state(sys.modules["torch"].from_numpy(np.array(state)))

    def seed(self, number: int) -> None:
        """Set it to a state that depends on the number only. `number`: from 0 to 2**63 - 1."""
        target = self.target
        if isinstance(target, random.Random):
            target.seed(number)
        elif isinstance(target, np.random.Generator):
            bits = target.bit_generator
            bits.state = type(bits)(number).state
        elif isinstance(target, np.random.RandomState):
            target.set_state(np.random.RandomState(_bits_of(target)(number)).get_state(legacy=False))
        else:
            target.manual_seed(number)


@dataclass(frozen=True)
class OwnGenerators:
    """What a search has found. `refused`: the names of generators whose state cannot be set."""

    usable: tuple[OwnGenerator, ...] = ()
    refused: tuple[str, ...] = ()


NONE = OwnGenerators()


def own_generators(**owners: Any) -> OwnGenerators:
    """The generators in the attributes of these objects, and of what they hold, by the names of the attributes.

    It follows attributes, collections, and what a function has bound; it calls nothing. The generators that the process
    has without making one are left out.

    >>> class Data:
    ...     def __init__(self):
    ...         self.parts = [random.Random(1), {"noise": np.random.default_rng(2)}]
    >>> [one.name for one in own_generators(dataset=Data()).usable]
    ['dataset.parts.0', 'dataset.parts.1.noise']
    """
    usable, refused, seen = list[OwnGenerator](), list[str](), dict[int, Any]()
    for owner, value in owners.items():
        for name, target in _found(owner, value, seen):
            one = OwnGenerator(name, target)
            if _can_be_set(one):
                usable.append(one)
            else:
                refused.append(f"{name} ({type(target).__qualname__})")
    return OwnGenerators(tuple(usable), tuple(refused))


def states_of(generators: Sequence[OwnGenerator]) -> dict[str, Any]:
    """The states of these generators by their names."""
    return {one.name: one.state() for one in generators}


def set_states(generators: Sequence[OwnGenerator], states: Mapping[str, Any]) -> None:
    """Set those generators whose states are there."""
    for one in generators:
        if one.name in states:
            one.set(states[one.name])


def _can_be_set(one: OwnGenerator) -> bool:
    if isinstance(one.target, random.SystemRandom):
        return False
    try:
        before = one.state()
        try:
            one.seed(0)
        finally:
            one.set(before)
    except Exception:  # of a generator or a bit generator that the program has defined
        return False
    return True


def _found(owner: str, value: Any, seen: dict[int, Any]) -> Iterator[tuple[str, Any]]:
    waiting, left = deque([(owner, value, 0)]), OBJECTS
    while waiting and left:
        name, one, depth = waiting.popleft()
        if isinstance(one, _PLAIN) or id(one) in seen:
            continue
        seen[id(one)] = one  # kept, so that no other object gets its id
        left -= 1
        if _is_generator(one):
            if not _is_of_the_process(one):
                yield name, one
        elif depth < DEPTH and not _is_foreign(one):
            with suppress(Exception):  # an object of the program may be in any state
                waiting.extend((f"{name}.{key}", member, depth + 1) for key, member in islice(_members(one), MEMBERS))


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return ((str(key), one) for key, one in value.items())
    if isinstance(value, list | tuple | set | frozenset | deque):
        return ((str(number), one) for number, one in enumerate(value))
    if isinstance(value, types.MethodType):
        return iter([("__self__", value.__self__)])
    if isinstance(value, types.FunctionType):
        cells = value.__closure__ or ()
        return ((name, cell.cell_contents) for name, cell in zip(value.__code__.co_freevars, cells, strict=True))
    if isinstance(value, functools.partial):
        return iter([("func", value.func), ("args", value.args), ("keywords", value.keywords)])
    return iter(getattr(value, "__dict__", {}).items())


def _is_generator(value: Any) -> bool:
    torch = sys.modules.get("torch")
    kinds = (random.Random, np.random.Generator, np.random.RandomState)
    return isinstance(value, kinds) or (torch is not None and isinstance(value, torch.Generator))


def _is_of_the_process(value: Any) -> bool:
    if value is getattr(sys.modules.get("torch"), "default_generator", None):
        return True
    return value is np.random.mtrand._rand or value is getattr(random, "_inst", None)


def _is_foreign(value: Any) -> bool:
    if type(value).__module__.partition(".")[0] in _FOREIGN:
        return True
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor | torch.nn.Module)


def _bits_of(target: np.random.RandomState) -> Any:
    return type(target._bit_generator)
