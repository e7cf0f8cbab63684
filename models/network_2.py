"""Network 2 of Abai and Rajmalwar (arXiv:1904.10429): three densely connected blocks of four convolutions."""

from __future__ import annotations

import keras

from models import blocks

STEM = 32
BLOCKS = (128, 256, 512)
L2 = 2e-4


def build(*, width: float, classes: int, seed: int, dropout: float = 0.0) -> keras.Model:
    """The network for images [n, h, w, 3] with h and w divisible by 8. 11,822,920 parameters at width 1, 200 classes.

    As published: biases, L2 of 2e-4 on every kernel, truncated normal initialiser of variance 1 / fan-in.
    """
    convs = blocks.Convolutions(seed, width, _initializer, bias=True, regularizer=L2)
    images = blocks.image_input()
    x = convs.block(images, STEM)
    for number, filters in enumerate(BLOCKS, start=1):
        x = _dense(convs, x, filters, number)
    return blocks.classify(images, convs.classifier(x, classes, dropout), "network-2")


def _initializer(seed: int) -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(1.0, mode="fan_in", distribution="truncated_normal", seed=seed)


def _dense(convs: blocks.Convolutions, x: keras.KerasTensor, filters: int, number: int) -> keras.KerasTensor:
    deep = convs.block(x, *[filters] * 4)
    x = keras.layers.Concatenate(name=f"join_{number}")([x, deep])
    x = blocks.batch_norm(x, f"norm_join_{number}")
    x = keras.layers.ReLU(name=f"relu_join_{number}")(x)
    return keras.layers.MaxPooling2D(2, name=f"pool_{number}")(x)
