"""The parts of the networks. They use only layers of Keras, so that plain Keras can load a saved file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np

DROPOUT_INDEX = 0
BATCH_NORM_MOMENTUM = 0.99
BATCH_NORM_EPSILON = 1e-3
MakeInitializer = Callable[[int], keras.initializers.Initializer]


def layer_seed(seed: int, index: int) -> int:
    """The seed of one layer, below 2**31. It depends only on the network's seed and the layer's index."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0]) & 0x7FFF_FFFF


def scaled(filters: int, width: float) -> int:
    """The published filter count times the width, rounded, at least one."""
    return max(1, round(filters * width))


def space_to_depth(x: keras.KerasTensor) -> keras.KerasTensor:
    """tf.nn.space_to_depth(x, 2): [n, h, w, c] -> [n, h/2, w/2, 4c], channels in the order (dy, dx, c)."""
    parts = [x[:, dy::2, dx::2, :] for dy in (0, 1) for dx in (0, 1)]
    return keras.layers.Concatenate()(parts)


def batch_norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Batch normalisation as published: momentum 0.99, epsilon 1e-3."""
    return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=name)(x)


@dataclass
class Convolutions:
    """Creates the convolutions of one network, numbered from 1, each with its own seed.

    `regularizer`: the L2 weight of the kernels, 0 for none.
    """

    seed: int
    width: float
    initializer: MakeInitializer
    bias: bool
    regularizer: float = 0.0
    made: int = field(default=0, init=False)

    def block(self, x: keras.KerasTensor, *filters: int) -> keras.KerasTensor:
        """For each filter count a 3x3 convolution, batch normalisation and ReLU."""
        for count in filters:
            x = self._conv(x, scaled(count, self.width), 3)
            x = batch_norm(x, f"norm_{self.made}")
            x = keras.layers.ReLU(name=f"relu_{self.made}")(x)
        return x

    def classifier(self, x: keras.KerasTensor, classes: int, dropout: float) -> keras.KerasTensor:
        """Dropout if the rate is not 0, then a 1x1 convolution with one channel for each class."""
        if dropout > 0:
            x = keras.layers.Dropout(dropout, seed=layer_seed(self.seed, DROPOUT_INDEX), name="dropout")(x)
        return self._conv(x, classes, 1)

    def _conv(self, x: keras.KerasTensor, filters: int, size: int) -> keras.KerasTensor:
        self.made += 1
        return keras.layers.Conv2D(
            filters,
            size,
            padding="same",
            use_bias=self.bias,
            kernel_initializer=self.initializer(layer_seed(self.seed, self.made)),
            kernel_regularizer=keras.regularizers.L2(self.regularizer) if self.regularizer else None,
            name=f"conv_{self.made}",
        )(x)


def image_input() -> keras.KerasTensor:
    """The input layer: images [n, height, width, 3], float32 in 0..1, both sides divisible by 8."""
    return keras.Input((None, None, 3), dtype="float32", name="images")


def classify(images: keras.KerasTensor, x: keras.KerasTensor, name: str) -> keras.Model:
    """The model from `images` to probabilities [n, classes]. Logits and softmax are float32 in mixed precision too."""
    x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="logits")(x)
    x = keras.layers.Activation("softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(images, x, name=name)
