"""Keras: `baton.keras.fit` in place of `model.fit`. It saves and restores everything itself.

Run it: `python keras_fit.py`. End it with Ctrl-C, run it again, and it continues.
"""

import tempfile
from pathlib import Path

import keras
import numpy as np

import baton
import baton.keras

run = baton.init(params={"epochs": 20, "batch": 32, "learning_rate": 1e-3, "dropout": 0.2, "seed": 0})
p = run.params
keras.utils.set_random_seed(p["seed"])

# Images with a bright disk whose radius is to be learned.
data = np.random.default_rng(p["seed"])
radius = data.uniform(1, 7, 1280).astype("float32")
rows, columns = np.mgrid[-8:8, -8:8]
images = (rows**2 + columns**2 < radius[:, None, None] ** 2) + data.normal(0, 0.3, (1280, 16, 16))
images = images[..., None].astype("float32")

model = keras.Sequential(
    [
        keras.Input((16, 16, 1)),
        keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dropout(p["dropout"]),
        keras.layers.Dense(1),
    ]
)
model.compile(keras.optimizers.Adam(p["learning_rate"]), "mse")
baton.keras.fit(
    model,
    images,
    radius,
    batch_size=p["batch"],
    epochs=p["epochs"],
    validation_split=0.2,
    verbose=2,
    callbacks=[
        keras.callbacks.ReduceLROnPlateau(patience=3),
        keras.callbacks.EarlyStopping(patience=8, restore_best_weights=True),
    ],
    run=run,
)

with tempfile.TemporaryDirectory() as folder:
    weights = Path(folder) / "weights.npz"
    np.savez(weights, *model.get_weights())
    run.publish("weights.npz", weights)
