"""NumPy: a network of two layers learns to separate two spirals. All of its state is arrays and one random generator.

Run it: `python numpy_spirals.py`. End it with Ctrl-C, run it again, and it continues.
"""

import tempfile
from pathlib import Path

import numpy as np

import baton


def spirals(count, generator):
    """Points of two spirals, shape (count, 2), and to which spiral each belongs, 0 or 1."""
    labels = np.arange(count) % 2
    turn = np.sqrt(generator.random(count)) * 3 * np.pi
    sign = 1 - 2 * labels
    points = np.stack([sign * turn * np.cos(turn), sign * turn * np.sin(turn)], axis=1) / 10
    return points + generator.normal(0, 0.02, points.shape), labels


def layers(weights, points):
    """The hidden values, and the probability that each point belongs to spiral 1."""
    hidden = np.tanh(points @ weights["w1"] + weights["b1"])
    return hidden, 1 / (1 + np.exp(-(hidden @ weights["w2"] + weights["b2"])))


def loss_of(probabilities, labels):
    """Binary cross-entropy."""
    return -np.mean(np.log(np.where(labels == 1, probabilities, 1 - probabilities) + 1e-12))


def gradients(weights, points, labels):
    """Loss, and its gradient for each array of weights."""
    hidden, probabilities = layers(weights, points)
    error = (probabilities - labels) / len(points)
    inner = error[:, None] * weights["w2"] * (1 - hidden**2)
    found = {"w1": points.T @ inner, "b1": inner.sum(0), "w2": hidden.T @ error, "b2": error.sum()}
    return loss_of(probabilities, labels), found


run = baton.init(params={"epochs": 100, "batch": 32, "learning_rate": 0.5, "noise": 0.05, "width": 64, "seed": 0})
p = run.params
data = np.random.default_rng(p["seed"])
train_x, train_y = spirals(1024, data)
test_x, test_y = spirals(512, data)
per_epoch = len(train_x) // p["batch"]

# Its state is part of each save, because each step draws noise from it.
generator = np.random.default_rng(p["seed"] + 1)
weights = {
    "w1": generator.normal(0, 1, (2, p["width"])),
    "b1": generator.normal(0, 1, p["width"]),
    "w2": generator.normal(0, 0.1, p["width"]),
    "b2": np.zeros(()),
}
momentum = {name: np.zeros_like(array) for name, array in weights.items()}
first = 0

if saved := run.restore():
    with np.load(saved.folder / "state.npz") as arrays:
        weights = {name: arrays[f"weights.{name}"] for name in weights}
        momentum = {name: arrays[f"momentum.{name}"] for name in momentum}
    generator.bit_generator.state = saved.cursor["generator"]
    first = saved.step

total = p["epochs"] * per_epoch
for step in range(first, total):
    epoch, batch = divmod(step, per_epoch)
    # The order is a function of the epoch: after a restore there is nothing to replay.
    order = np.random.default_rng([p["seed"], epoch]).permutation(len(train_x))
    chosen = order[batch * p["batch"] : (batch + 1) * p["batch"]]
    noise = generator.normal(0, p["noise"], (len(chosen), 2))

    loss, found = gradients(weights, train_x[chosen] + noise, train_y[chosen])
    for name, gradient in found.items():
        momentum[name] = 0.9 * momentum[name] - p["learning_rate"] * gradient
        weights[name] = weights[name] + momentum[name]

    done = step + 1
    run.log({"loss": loss}, step=step)
    if done % per_epoch == 0:
        _, probabilities = layers(weights, test_x)
        accuracy = np.mean((probabilities > 0.5) == test_y)
        run.epoch({"val_loss": loss_of(probabilities, test_y), "val_accuracy": accuracy}, epoch=epoch + 1, step=done)
        run.progress(step=done, total=total)
    if run.save_due() or done == total:
        with run.save(step=done, epoch=epoch, cursor={"generator": generator.bit_generator.state}) as folder:
            arrays = {f"weights.{name}": array for name, array in weights.items()}
            arrays |= {f"momentum.{name}": array for name, array in momentum.items()}
            np.savez(folder / "state.npz", **arrays)
    run.check()

with tempfile.TemporaryDirectory() as folder:
    np.savez(Path(folder) / "weights.npz", **weights)
    run.publish("weights.npz", Path(folder) / "weights.npz")
