"""Small training programs with `baton.jax`. Each builds everything anew, as a program that is started again.

`python -m tests.support.jax_programs NAME FOLDER` trains one in the folder FOLDER/run, and writes the final state to
FOLDER/final.npz and final.json. It needs JAX, Flax and Optax.
"""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from flax.training.train_state import TrainState

import baton
import baton.jax
from baton.adapters.state_files import write_tree

SAMPLES, EPOCHS, BATCH = 44, 3, 8


def arrays() -> tuple[Any, Any]:
    """The data: rows, and what is to be learned from them."""
    x = np.random.default_rng(0).normal(size=(SAMPLES, 6)).astype("float32")
    return x, x.sum(1, keepdims=True)


class Network(nn.Module):
    """Dropout and normalisation."""

    @nn.compact
    def __call__(self, x: Any, train: bool) -> Any:
        x = nn.Dense(8, param_dtype=jnp.bfloat16)(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.Dropout(0.3, deterministic=not train)(nn.relu(x))
        return nn.Dense(1)(x)


# They have no state. A new one in each attempt would mean that each attempt compiles everything.
NETWORK = Network()
OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_onecycle_schedule(EPOCHS * 6, 0.05)))


@jax.jit
def initial_variables() -> Any:
    """The first parameters and statistics."""
    return NETWORK.init(jax.random.key(0), jnp.zeros((1, 6)), train=False)


class State(TrainState):  # type: ignore[misc]
    """A TrainState with the running statistics and a random key."""

    statistics: Any
    key: Any


@functools.partial(jax.jit, donate_argnums=0)
def linen_step(state: State, x: Any, y: Any) -> tuple[State, Any]:
    """The next state and the loss. The memory of the given state is used again."""
    key, drawn = jax.random.split(state.key)

    def loss_of(params: Any) -> Any:
        variables = {"params": params, "batch_stats": state.statistics}
        found, new = state.apply_fn(variables, x, train=True, rngs={"dropout": drawn}, mutable=["batch_stats"])
        return jnp.mean((found - y) ** 2), new["batch_stats"]

    (loss, statistics), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    return state.apply_gradients(grads=gradients, statistics=statistics, key=key), loss


def linen(run: baton.Run) -> Any:
    """Flax with a TrainState and Optax; an average of the weights; a sum over the epoch."""
    x, y = arrays()
    variables = initial_variables()
    state = State.create(
        apply_fn=NETWORK.apply,
        params=variables["params"],
        tx=OPTIMIZER,
        statistics=variables["batch_stats"],
        key=jax.random.key(1),
    )
    average = jax.tree_util.tree_map(lambda one: jnp.array(one, jnp.float32), state.params)
    training = baton.jax.track(run, state=state, average=average, total=0.0)
    batches = baton.data.batches((x, y), batch_size=BATCH, seed=4)
    for _ in training.epochs(EPOCHS):
        training.total = 0.0
        for x_batch, y_batch in training.batches(batches):
            training.state, loss = linen_step(training.state, x_batch, y_batch)
            training.average = optax.incremental_update(training.state.params, training.average, 0.1)
            training.total += loss
            training.log({"loss": loss, "first": x_batch[0, 0]})
        training.row({"loss": training.total, "drawn": random.random()})
    return training._copied()


class Net(nnx.Module):  # type: ignore[misc]
    """The same network as an object."""

    def __init__(self, rngs: Any) -> None:
        self.first = nnx.Linear(6, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.drop = nnx.Dropout(0.3, rngs=rngs)
        self.last = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.last(self.drop(nnx.relu(self.norm(self.first(x)))))


@nnx.jit
def object_step(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
    """The loss. The objects are changed."""
    loss, gradients = nnx.value_and_grad(lambda one: jnp.mean((one(x) - y) ** 2))(model)
    optimizer.update(model, gradients)
    return loss


def objects(run: baton.Run) -> Any:
    """`flax.nnx`: the script holds the model and the optimizer; steps without epochs."""
    x, y = arrays()
    model = Net(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, OPTIMIZER, wrt=nnx.Param)
    training = baton.jax.track(run, model=model, optimizer=optimizer)
    for step in training.steps(18):
        chosen = np.random.default_rng([7, step]).choice(SAMPLES, BATCH)
        training.log({"loss": object_step(model, optimizer, x[chosen], y[chosen])})
    return training._copied()


def keys(run: baton.Run) -> Any:
    """Keys of both kinds, weak types, values of Python and NumPy, and types that NumPy does not have."""
    state = {
        "old": jax.random.PRNGKey(0),
        "new": jax.random.split(jax.random.key(1, impl="rbg"), 3),
        "weak": jnp.asarray(1.0),
        "weak_row": jnp.full((2,), 1.0),
        "half": jnp.ones(2, jnp.bfloat16),
        "small": jnp.ones(2, jnp.float8_e4m3fn),
        "count": 0,
        "numpy": np.zeros(2, np.float32),
        "nothing": None,
    }
    training = baton.jax.track(run, state=state)
    for _ in training.steps(9):
        now = dict(training.state)
        now["old"], drawn = jax.random.split(now["old"])
        now["new"] = jax.vmap(lambda key: jax.random.split(key)[0])(now["new"])
        now["weak"] = now["weak"] * 1.5
        now["weak_row"] = now["weak_row"] * 1.1
        now["half"] = now["half"] * now["weak"] + jax.random.normal(drawn, (2,), jnp.bfloat16)
        now["numpy"] = now["numpy"] + jax.random.uniform(now["new"][0], (2,))
        now["count"] += 1
        training.state = now
        training.log({"half": now["half"][0], "weak": float(now["weak"].weak_type)})
    return training._copied()


PROGRAMS: dict[str, Callable[[baton.Run], Any]] = {"linen": linen, "objects": objects, "keys": keys}


def main(name: str, folder: str) -> None:
    """Train, and write the final state."""
    random.seed(0)
    np.random.seed(0)
    with baton.init(Path(folder) / "run") as run:
        final = PROGRAMS[name](run)
    write_tree(Path(folder), "final", final)


if __name__ == "__main__":
    main(*sys.argv[1:])
