"""Network 1 of Abai and Rajmalwar (arXiv:1904.10429): three blocks of five convolutions, joined by space-to-depth."""

from __future__ import annotations

import keras

from models import blocks

BLOCKS = ((32, 64, 128, 256, 512), (64, 128, 256, 512, 1024), (32, 128, 256, 512, 1024))


def build(*, width: float, classes: int, seed: int, dropout: float = 0.0) -> keras.Model:
    """The network for images [n, h, w, 3] with h and w divisible by 8. 17,927,040 parameters at width 1, 200 classes.

    As published: Keras's default initialiser (Glorot uniform), no biases, no regulariser.
    """
    convs = blocks.Convolutions(seed, width, lambda s: keras.initializers.GlorotUniform(seed=s), bias=False)
    images = blocks.image_input()
    x = _pool(convs.block(images, *BLOCKS[0]), 1)
    for number, filters in enumerate(BLOCKS[1:], start=2):
        deep = _pool(convs.block(x, *filters), number)
        x = keras.layers.Concatenate(name=f"join_{number}")([blocks.space_to_depth(x), deep])
    x = convs.classifier(x, classes, dropout)
    return blocks.classify(images, blocks.batch_norm(x, "norm_classes"), "network-1")


def _pool(x: keras.KerasTensor, number: int) -> keras.KerasTensor:
    return keras.layers.MaxPooling2D(2, name=f"pool_{number}")(x)
