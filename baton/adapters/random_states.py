"""The states of the random generators that a process has without making one: those of Python and of NumPy."""

from __future__ import annotations

import random
from typing import Any

import numpy as np


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
