"""The networks, by the names that a spec uses."""

from __future__ import annotations

import keras

from models import network_1, network_2

_BUILDERS = {"network-1": network_1.build, "network-2": network_2.build}


def build(name: str, *, width: float, classes: int, seed: int, dropout: float = 0.0) -> keras.Model:
    """A new network [n, h, w, 3] float32 in 0..1 -> probabilities [n, classes] float32, at any size divisible by 8.

    `width` multiplies every filter count. The same arguments give the same weights in any process. Layer `logits` holds
    what the softmax (`probabilities`) takes. Follows keras.config.dtype_policy().

    Raises:
        ValueError: no network has this name.
    """
    if name not in _BUILDERS:
        raise ValueError(f"unknown network {name!r}; known: {', '.join(_BUILDERS)}")
    return _BUILDERS[name](width=width, classes=classes, seed=seed, dropout=dropout)
