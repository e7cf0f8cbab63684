"""An example of extensions: a network, a data set (bars, crosses and squares on noise) and an augmentation."""

from __future__ import annotations

import keras
import numpy as np

from worker.training.extending import DatasetSpec, Listing

SHAPES = ("bar", "cross", "square")


def network(*, classes: int, width: float, seed: int, dropout: float, filters: int = 16) -> keras.Model:
    """A Keras model from images in 0..1 to logits. `network.options` are keyword arguments, here `filters`."""
    wide = max(1, round(filters * width))
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(wide, 3, activation="relu", padding="same"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(2 * wide, 3, activation="relu", padding="same"),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dropout(dropout, seed=seed),
            keras.layers.Dense(classes),
        ]
    )


def dataset(spec: DatasetSpec) -> Listing:
    """Lists all images: the training images first, then the official validation images. No image is read yet."""
    each, official = int(spec.options.get("each", 100)), 20
    names = SHAPES[: spec.classes]
    labels = np.concatenate([np.repeat(np.arange(len(names)), count) for count in (each, official)])
    return Listing(
        class_names=names,
        labels=labels.astype(np.int32),
        training=each * len(names),
        identity=("squares", 1, each, len(names)),  # identifies the data: another identity uses another cache
        read=lambda i: _draw(int(labels[i]), i),
    )


def _draw(shape: int, number: int) -> np.ndarray:
    image = np.random.default_rng(number).integers(0, 120, (32, 32, 3), dtype=np.uint8)
    y, x = np.random.default_rng([number, 1]).integers(4, 20, 2)
    if shape == SHAPES.index("square"):
        image[y : y + 8, x : x + 8] = 255
    else:
        image[y + 3 : y + 5, x : x + 8] = 255
    if shape == SHAPES.index("cross"):
        image[y : y + 8, x + 3 : x + 5] = 255
    return image


def mirror(images: np.ndarray, seed: int) -> np.ndarray:
    """Flips images, uint8 [n, h, w, 3]. The result depends only on images and seed: exact resume requires this."""
    flips = np.random.default_rng(seed).random(len(images)) < 0.5
    return np.where(flips[:, None, None, None], images[:, :, ::-1], images)
