"""The model and the data of the Keras programs: a small network with dropout that learns the radius of disks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from bench.resume.steps import SAMPLES


def images() -> tuple[Any, Any]:
    """Images, shape (SAMPLES, 16, 16, 1), and radii."""
    data = np.random.default_rng(0)
    radius = data.uniform(1, 7, SAMPLES).astype("float32")
    rows, columns = np.mgrid[-8:8, -8:8]
    disks = (rows**2 + columns**2 < radius[:, None, None] ** 2) + data.normal(0, 0.3, (SAMPLES, 16, 16))
    return disks[..., None].astype("float32"), radius


def compiled() -> keras.Model:
    """The model with its optimizer."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def save_weights(model: keras.Model, file: str) -> None:
    """The final weights."""
    np.savez(file, *(keras.ops.convert_to_numpy(one) for one in model.weights))
