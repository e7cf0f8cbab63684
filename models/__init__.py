"""The networks that come with Baton, by their names in a spec."""

from __future__ import annotations

import keras

from models import network_1, network_2, tiny_cnn

_BUILDERS = {"network-1": network_1.build, "network-2": network_2.build, "tiny-cnn": tiny_cnn.build}


def build(name: str, *, width: float, classes: int, seed: int, dropout: float = 0.0) -> keras.Model:
    """A new network. Input: images [n, h, w, 3], float32 in 0..1, h and w divisible by 8. Output: probabilities
    [n, classes], float32.

    `width` multiplies every filter count. The same arguments give the same weights in every process. The layer
    `logits` is the input of the softmax layer `probabilities`. Uses keras.config.dtype_policy().

    Raises:
        ValueError: there is no network with this name.
    """
    if name not in _BUILDERS:
        raise ValueError(f"unknown network {name!r}; known: {', '.join(_BUILDERS)}")
    return _BUILDERS[name](width=width, classes=classes, seed=seed, dropout=dropout)
