"""JAX: a compiled step that takes a pytree and returns one. The random key is part of the pytree.

Run it: `python jax_spirals.py`. End it with Ctrl-C, run it again, and it continues.
"""

import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import baton


def spirals(count, key):
    """Points of two spirals, shape (count, 2), and to which spiral each belongs, 0 or 1."""
    labels = jnp.arange(count) % 2
    turn = jnp.sqrt(jax.random.uniform(key, (count,))) * 3 * jnp.pi
    sign = 1 - 2 * labels
    return jnp.stack([sign * turn * jnp.cos(turn), sign * turn * jnp.sin(turn)], axis=1) / 10, labels


def logits_of(weights, points):
    """The network: above 0 means spiral 1."""
    hidden = jnp.tanh(points @ weights["w1"] + weights["b1"])
    return hidden @ weights["w2"] + weights["b2"]


@jax.jit
def loss_of(weights, points, labels):
    """Binary cross-entropy."""
    logits = logits_of(weights, points)
    return jnp.mean(jnp.logaddexp(0, logits) - labels * logits)


@jax.jit
def train_step(state, points, labels, learning_rate, noise):
    """The next state, and the loss."""
    key, drawn = jax.random.split(state["key"])
    points = points + noise * jax.random.normal(drawn, points.shape)
    loss, gradient = jax.value_and_grad(loss_of)(state["weights"], points, labels)
    momentum = jax.tree_util.tree_map(lambda m, g: 0.9 * m - learning_rate * g, state["momentum"], gradient)
    weights = jax.tree_util.tree_map(jnp.add, state["weights"], momentum)
    return {"weights": weights, "momentum": momentum, "key": key}, loss


run = baton.init(params={"epochs": 100, "batch": 32, "learning_rate": 0.3, "noise": 0.05, "width": 64, "seed": 0})
p = run.params
keys = jax.random.split(jax.random.PRNGKey(p["seed"]), 5)
train_x, train_y = spirals(1024, keys[0])
test_x, test_y = spirals(512, keys[1])
per_epoch = len(train_x) // p["batch"]

weights = {
    "w1": jax.random.normal(keys[2], (2, p["width"])),
    "b1": jax.random.normal(keys[3], (p["width"],)),
    "w2": jnp.zeros(p["width"]),
    "b2": jnp.zeros(()),
}
state = {"weights": weights, "momentum": jax.tree_util.tree_map(jnp.zeros_like, weights), "key": keys[4]}
leaves, tree = jax.tree_util.tree_flatten(state)

if saved := run.restore():
    with np.load(saved.folder / "state.npz") as arrays:
        state = jax.tree_util.tree_unflatten(tree, [jnp.asarray(arrays[f"arr_{k}"]) for k in range(len(leaves))])

total = p["epochs"] * per_epoch
for step in range(saved.step if saved else 0, total):
    epoch, batch = divmod(step, per_epoch)
    # The order is a function of the epoch: after a restore there is nothing to replay.
    order = np.random.default_rng([p["seed"], epoch]).permutation(len(train_x))
    chosen = order[batch * p["batch"] : (batch + 1) * p["batch"]]
    state, loss = train_step(state, train_x[chosen], train_y[chosen], p["learning_rate"], p["noise"])

    done = step + 1
    run.log({"loss": loss}, step=step)  # reads the value, so it waits for the step
    if done % per_epoch == 0:
        accuracy = jnp.mean((logits_of(state["weights"], test_x) > 0) == test_y)
        row = {"val_loss": loss_of(state["weights"], test_x, test_y), "val_accuracy": accuracy}
        run.epoch(row, epoch=epoch + 1, step=done)
        run.progress(step=done, total=total)
    if run.save_due() or done == total:
        with run.save(step=done, epoch=epoch) as folder:
            np.savez(folder / "state.npz", *jax.tree_util.tree_leaves(state))
    run.check()

with tempfile.TemporaryDirectory() as folder:
    np.savez(Path(folder) / "weights.npz", **state["weights"])
    run.publish("weights.npz", Path(folder) / "weights.npz")
