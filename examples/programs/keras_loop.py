"""Keras: a loop of `train_on_batch`. Its state is the variables of the model, its random generators and the optimizer.

Run it: `python keras_loop.py`. End it with Ctrl-C, run it again, and it continues.
"""

import tempfile
from pathlib import Path

import keras
import numpy as np

import baton

run = baton.init(params={"epochs": 20, "batch": 32, "learning_rate": 1e-3, "dropout": 0.2, "seed": 0})
p = run.params
keras.utils.set_random_seed(p["seed"])

# Images with a bright disk whose radius is to be learned.
data = np.random.default_rng(p["seed"])
radius = data.uniform(1, 7, 1280).astype("float32")
rows, columns = np.mgrid[-8:8, -8:8]
images = (rows**2 + columns**2 < radius[:, None, None] ** 2) + data.normal(0, 0.3, (1280, 16, 16))
images = images[..., None].astype("float32")
train_x, test_x, train_y, test_y = images[:1024], images[1024:], radius[:1024], radius[1024:]
per_epoch = len(train_x) // p["batch"]

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
model.optimizer.build(model.trainable_variables)
# `model.variables` has the states of the random generators of Dropout too.
variables = [*model.variables, *model.optimizer.variables]

if saved := run.restore():
    with np.load(saved.folder / "variables.npz") as arrays:
        for index, variable in enumerate(variables):
            variable.assign(arrays[f"arr_{index}"])

total = p["epochs"] * per_epoch
for step in range(saved.step if saved else 0, total):
    epoch, batch = divmod(step, per_epoch)
    # The order is a function of the epoch: after a restore there is nothing to replay.
    order = np.random.default_rng([p["seed"], epoch]).permutation(len(train_x))
    chosen = order[batch * p["batch"] : (batch + 1) * p["batch"]]
    model.reset_metrics()  # so that the loss is that of this batch
    loss = model.train_on_batch(train_x[chosen], train_y[chosen])

    done = step + 1
    run.log({"loss": loss}, step=step)
    if done % per_epoch == 0:
        run.epoch({"val_loss": model.evaluate(test_x, test_y, verbose=0)}, epoch=epoch + 1, step=done)
        run.progress(step=done, total=total)
    if run.save_due() or done == total:
        with run.save(step=done, epoch=epoch) as folder:
            np.savez(folder / "variables.npz", *(keras.ops.convert_to_numpy(one) for one in variables))
    run.check()

with tempfile.TemporaryDirectory() as folder:
    weights = Path(folder) / "weights.npz"
    np.savez(weights, *(keras.ops.convert_to_numpy(one) for one in variables))
    run.publish("weights.npz", weights)
