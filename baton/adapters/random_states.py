"""The states of the random generators that a process has without making one: of Python, of NumPy, of torch on CPUs."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from baton.adapters.own_generators import OwnGenerator

_SPARE: list[Any] = []
"""Bit generators of NumPy that are not in use."""


def random_states() -> dict[str, Any]:
    """The states of `random` and `numpy.random`, as a tree for `write_tree`.

    >>> states = random_states()
    >>> drawn = random.random(), float(np.random.random())
    >>> set_random_states(states)
    >>> drawn == (random.random(), float(np.random.random()))
    True
    """
    version, words, gauss = random.getstate()
    numpy = np.random.get_state(legacy=False)
    return {"python": (version, np.array(words, np.uint32), gauss), "numpy": numpy}


def set_random_states(states: dict[str, Any]) -> None:
    """Set the generators of `random` and `numpy.random` to these states."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    np.random.set_state(states["numpy"])


def seed_process(*place: int | str, own: Sequence[OwnGenerator] = ()) -> None:
    """Set the generators of the process, and these, to a state that depends on this place only.

    Those of GPUs stay as they are: `torch.manual_seed` would set them too, and the training uses them.

    >>> seed_process("batch", 7, 0, 3)
    >>> drawn = random.random(), np.random.rand()
    >>> seed_process("batch", 7, 0, 3)
    >>> drawn == (random.random(), np.random.rand())
    True
    """
    digest = _digest(place)  # SeedSequence takes ten times as long
    random.seed(int.from_bytes(digest[:16], "big"))
    np.random.seed(np.frombuffer(digest[16:32], "<u4"))
    if (on_cpu := _of_torch()) is not None:
        on_cpu.manual_seed(int.from_bytes(digest[32:39], "big"))
    for one in own:
        one.seed(int.from_bytes(_digest((*place, one.name))[:8], "big") >> 1)


@contextmanager
def apart(own: Sequence[OwnGenerator] = (), *, forgets: bool = False) -> Generator[None, None, None]:
    """What the block draws from the generators of the process, and from these, does not change what is drawn after it.

    Only one thread may use them meanwhile. `forgets`: the second number of a pair that NumPy's `normal` has kept for
    its next call is forgotten. Then NumPy's generator is only exchanged, which saves a tenth of a millisecond.
    """
    python, on_cpu = random.getstate(), _of_torch()
    before = on_cpu.get_state() if on_cpu is not None else None
    others = [(one, one.state()) for one in own]
    with _numpy_apart(forgets and hasattr(np.random, "set_bit_generator")):  # since NumPy 1.24
        try:
            yield
        finally:
            random.setstate(python)
            if on_cpu is not None:
                on_cpu.set_state(before)
            for one, state in others:
                one.set(state)


@contextmanager
def seeded(*place: int | str, own: Sequence[OwnGenerator] = (), forgets: bool = False) -> Generator[None, None, None]:
    """In the block, the generators of the process, and these, have a state that depends on the place only: see `apart`.

    Data sets draw their augmentation from them, and a training draws from them too.

    >>> def drawn():
    ...     with seeded("batch", 1, 0, 5):
    ...         return random.random(), float(np.random.random())
    >>> drawn() == drawn()
    True
    """
    with apart(own, forgets=forgets):
        seed_process(*place, own=own)
        yield


def _digest(place: tuple[int | str, ...]) -> bytes:
    return hashlib.blake2b("/".join(map(str, place)).encode()).digest()


def _of_torch() -> Any:
    return getattr(sys.modules.get("torch"), "default_generator", None)


@contextmanager
def _numpy_apart(exchanged: bool) -> Iterator[None]:
    if not exchanged:
        state = np.random.get_state(legacy=False)
        try:
            yield
        finally:
            np.random.set_state(state)
        return
    generator = np.random.get_bit_generator()  # type: ignore[attr-defined]
    np.random.set_bit_generator(_SPARE.pop() if _SPARE else np.random.MT19937())  # type: ignore[attr-defined]
    try:
        yield
    finally:
        _SPARE.append(np.random.get_bit_generator())  # type: ignore[attr-defined]
        np.random.set_bit_generator(generator)  # type: ignore[attr-defined]
