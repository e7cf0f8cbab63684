"""JAX with Flax and Optax and `baton.jax`: the state of the training is one pytree.

Run it: `python jax_flax.py`. End it with Ctrl-C, run it again, and it continues.
"""

import tempfile
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.training.train_state import TrainState

import baton


class Network(nn.Module):
    """Above 0 means spiral 1."""

    width: int
    dropout: float

    @nn.compact
    def __call__(self, x, train):
        x = nn.tanh(nn.Dense(self.width)(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(nn.Dense(self.width)(x)))
        return nn.Dense(1)(x)[:, 0]


class State(TrainState):
    """Parameters, the state of the optimizer, and the key of Dropout."""

    key: jax.Array


def spirals(count, generator):
    """Points of two spirals, shape (count, 2), and to which spiral each belongs, 0 or 1."""
    labels = np.arange(count) % 2
    turn = np.sqrt(generator.random(count)) * 3 * np.pi
    sign = 1 - 2 * labels
    points = np.stack([sign * turn * np.cos(turn), sign * turn * np.sin(turn)], axis=1) / 10
    return points.astype("float32"), labels


@jax.jit
def train_step(state, x, y):
    """The next state, and the loss."""
    key, drawn = jax.random.split(state.key)

    def loss_of(params):
        logits = state.apply_fn({"params": params}, x, train=True, rngs={"dropout": drawn})
        return optax.sigmoid_binary_cross_entropy(logits, y).mean()

    loss, gradients = jax.value_and_grad(loss_of)(state.params)
    return state.apply_gradients(grads=gradients, key=key), loss


@jax.jit
def evaluate(state, x, y):
    """Loss and accuracy."""
    logits = state.apply_fn({"params": state.params}, x, train=False)
    return optax.sigmoid_binary_cross_entropy(logits, y).mean(), jnp.mean((logits > 0) == y)


run = baton.init(params={"epochs": 60, "batch": 32, "learning_rate": 0.01, "dropout": 0.1, "width": 64, "seed": 0})
p = run.params
points = np.random.default_rng(p["seed"])
batches = baton.data.batches(spirals(1024, points), batch_size=p["batch"], seed=p["seed"])
test_x, test_y = spirals(512, points)

network = Network(p["width"], p["dropout"])
first, key = jax.random.split(jax.random.key(p["seed"]))
schedule = optax.cosine_onecycle_schedule(p["epochs"] * len(batches), p["learning_rate"])
params = network.init(first, test_x[:1], train=False)["params"]
state = State.create(apply_fn=network.apply, params=params, tx=optax.adamw(schedule), key=key)

training = baton.jax.track(run, state=state)
for _ in training.epochs(p["epochs"]):
    for x, y in training.batches(batches):
        training.state, loss = train_step(training.state, x, y)
        training.log({"loss": loss})  # reads the value, so it waits for the step
    val_loss, accuracy = evaluate(training.state, test_x, test_y)
    training.row({"val_loss": val_loss, "val_accuracy": accuracy})

with tempfile.TemporaryDirectory() as folder:
    weights = {jax.tree_util.keystr(at): one for at, one in jax.tree_util.tree_leaves_with_path(training.state.params)}
    np.savez(Path(folder) / "weights.npz", **weights)
    run.publish("weights.npz", Path(folder) / "weights.npz")
