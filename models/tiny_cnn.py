"""A small network, to try out a set-up, a spec or data in seconds. It is not meant to win."""

from __future__ import annotations

import keras

from models import blocks

FILTERS = (32, 64)


def build(*, width: float, classes: int, seed: int, dropout: float = 0.0) -> keras.Model:
    """The network for images [n, h, w, 3] with h and w of at least 4. 32,776 parameters at width 1, 200 classes.

    Two 3x3 convolutions with batch normalisation, ReLU and pooling, then a 1x1 convolution. He-normal initialiser.
    """
    convs = blocks.Convolutions(seed, width, lambda s: keras.initializers.HeNormal(seed=s), bias=True)
    images = x = blocks.image_input()
    for number, filters in enumerate(FILTERS, start=1):
        x = keras.layers.MaxPooling2D(2, name=f"pool_{number}")(convs.block(x, filters))
    return blocks.classify(images, convs.classifier(x, classes, dropout), "tiny-cnn")
