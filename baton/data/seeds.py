"""Keys and generators that are functions of a seed and a place, so that they are the same after a restart."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray


def key(*place: int | str, words: int) -> NDArray[np.uint64]:
    """So many words of 64 bits, made of the place by SHAKE-256: the same on each machine and in each version.

    >>> key("order", 7, 0, words=1)
    array([62233203786192427], dtype=uint64)
    """
    digest = hashlib.shake_256("/".join(map(str, place)).encode()).digest(8 * words)
    return np.frombuffer(digest, "<u8").astype(np.uint64)


def generator(seed: int, epoch: int, sample: int) -> np.random.Generator:
    """The generator of one sample in one epoch. What it draws does not depend on the batch or the order.

    >>> first, again = generator(1, 0, 5), generator(1, 0, 5)
    >>> bool((first.integers(100, size=3) == again.integers(100, size=3)).all())
    True
    """
    return np.random.Generator(np.random.Philox(key=key("sample", seed, epoch, sample, words=2)))


@contextmanager
def seeded(*place: int | str) -> Generator[None, None, None]:
    """Within it, the generators that a process has are seeded by the place: `random`, `numpy.random`, torch on CPU.

    Afterwards they have their former states. Data sets draw their augmentation from them, and a training draws from
    them too. Only one thread may use them meanwhile.

    >>> def drawn():
    ...     with seeded("batch", 1, 0, 5):
    ...         return random.random(), float(np.random.random())
    >>> drawn() == drawn()
    True
    """
    python, numpy = random.getstate(), np.random.get_state()
    # torch.manual_seed would also seed the generators of all GPUs, which the training uses.
    on_cpu = getattr(sys.modules.get("torch"), "default_generator", None)
    torch_state = on_cpu.get_state() if on_cpu is not None else None
    words = key("process", *place, words=4)
    random.seed(int(words[0]))
    np.random.seed(words[1:3].view(np.uint32))
    if on_cpu is not None:
        on_cpu.manual_seed(int(words[3]) >> 1)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if on_cpu is not None:
            on_cpu.set_state(torch_state)
