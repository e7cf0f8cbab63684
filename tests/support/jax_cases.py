"""What `baton.jax` does with trees of all kinds. Each case gets an empty folder. It needs JAX, Flax and Optax."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import baton
import baton.jax
from baton.adapters.state_files import read_tree, write_tree
from baton.jax.leaves import from_host, leaves_of, to_host
from tests.support.jax_programs import NETWORK, OPTIMIZER, Net
from tests.support.raised import raised


def through(folder: Path, leaf: Any, like: Any = None) -> Any:
    """The leaf after it was written and read."""
    write_tree(folder, "tree", to_host({"x": leaf}, ""))
    return from_host(read_tree(folder, "tree")["x"], leaf if like is None else like, "x")


def case_leaves_of_all_types_come_back(folder: Path) -> None:
    for dtype in ("bool", "int8", "uint32", "float16", "bfloat16", "float32", "complex64", "float8_e5m2", "int4"):
        for shape in ((), (0, 2), (2, 3)):
            leaf = jnp.ones(shape, dtype)
            found = through(folder, leaf)
            assert isinstance(found, jax.Array)
            assert (found.dtype, found.shape, found.weak_type) == (leaf.dtype, leaf.shape, False)
            assert np.asarray(found).tobytes() == np.asarray(leaf).tobytes()
    for value in (True, 3, 0.1, "text", np.float32(0.1), np.arange(3), np.ones(2, jnp.bfloat16)):
        found = through(folder, value)
        assert type(found) is type(value)
        assert np.array_equal(found, value)


def case_weak_types_stay_weak(folder: Path) -> None:
    for leaf in (jnp.asarray(0.1), jnp.asarray(7), jnp.full((2, 2), 0.1)):
        found = through(folder, leaf)
        assert leaf.weak_type and found.weak_type
        assert (found.dtype, np.asarray(found).tobytes()) == (leaf.dtype, np.asarray(leaf).tobytes())
        assert (found * jnp.ones((), jnp.bfloat16)).dtype == (leaf * jnp.ones((), jnp.bfloat16)).dtype


def case_keys_of_both_kinds_come_back(folder: Path) -> None:
    for key in (jax.random.PRNGKey(3), jax.random.key(3), jax.random.split(jax.random.key(3, impl="rbg"), 2)):
        found = through(folder, key)
        assert found.dtype == key.dtype and found.shape == key.shape
        one, other = (
            jnp.ravel(part)[-1] if jnp.issubdtype(part.dtype, jax.dtypes.prng_key) else part for part in (key, found)
        )
        assert jax.random.uniform(one, (2,)).tolist() == jax.random.uniform(other, (2,)).tolist()


def case_a_copy_outlasts_a_donation(folder: Path) -> None:
    step = jax.jit(lambda x: x + 1, donate_argnums=0)
    leaf = jnp.zeros(1000)
    copied = to_host({"x": leaf}, "")
    step(leaf)
    assert copied["x"]["array"].sum() == 0


def case_a_number_may_have_become_an_array(folder: Path) -> None:
    assert float(through(folder, jnp.asarray(2.5), like=0)) == 2.5
    assert through(folder, 3, like=jnp.asarray(0)) == 3


def case_leaves_on_several_devices_go_back_to_them(folder: Path) -> None:
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("data",))
    placed = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    leaf = jax.device_put(jnp.arange(4.0), placed)
    found = through(folder, leaf)
    assert found.sharding == placed and found.tolist() == leaf.tolist()


def case_what_differs_is_named(folder: Path) -> None:
    def begun(folder: Path, **trees: Any) -> Any:
        with baton.init(folder) as run:
            return baton.jax.track(run, **trees)

    Pair = namedtuple("Pair", "w n")
    with baton.init(folder / "run") as run:
        training = baton.jax.track(run, state=Pair(jnp.ones((2, 3)), jax.random.key(0)), extra=[1])
        for _ in training.steps(1):
            training.extra = [2]
    run = folder / "run"  # type: ignore[assignment]
    key, extra = jax.random.key(0), [1]
    again = "Make the tree as the run did"
    for state, words in (
        (Pair(jnp.ones((2, 4)), key), rf"state\.w is float32\(2, 4\), and float32\(2, 3\) in the save. {again}"),
        (Pair(jnp.ones((2, 3), jnp.bfloat16), key), r"state\.w is bfloat16\(2, 3\), and float32\(2, 3\)"),
        (Pair(jnp.ones((2, 3)), jax.random.PRNGKey(0)), r"state\.n is uint32\(2,\), and key of threefry2x32\(\)"),
        (
            Pair(jnp.ones((2, 3)), jax.random.key(0, impl="rbg")),
            r"state\.n is key of rbg\(\), and key of threefry2x32\(\)",
        ),
        (Pair(jnp.ones((2, 3)), None), r"state\.n is in the save, and the tree has no such leaf"),
        (Pair([jnp.ones((2, 3))], key), r"state\.w is in the save"),
    ):
        raised(words, begun, run, state=state, extra=extra)
    good = Pair(jnp.ones((2, 3)), key)
    raised("track: extra is in the save, and track has no such tree", begun, run, state=good)
    raised("track: other is not in the save", begun, run, state=good, extra=extra, other=1)
    raised("track: epoch is a name of the training itself", begun, folder / "names", epoch=1)
    raised(
        r"state\['f'\] has the type function, which a save cannot hold",
        begun,
        folder / "types",
        state={"f": len.__call__ and (lambda: 0)},
    )
    assert begun(run, state=good, extra=extra).extra == [2]


def case_a_tree_that_is_never_assigned_is_told(folder: Path) -> None:
    with baton.init(folder / "run") as run:
        training = baton.jax.track(run, state=jnp.zeros(2))
        steps = training.steps(1)
        next(steps)
        raised("nothing was assigned to training.state since track", next, steps)
        raised("a list cannot be resumed. Pass baton.data.batches", training._source_of, [1])


def case_states_of_optax_are_named_by_their_fields(folder: Path) -> None:
    params = NETWORK.init(jax.random.key(0), jnp.zeros((1, 6)), train=False)["params"]
    names = leaves_of(OPTIMIZER.init(params))
    assert "[1][0].mu['Dense_0']['kernel']" in names and "[1][0].count" in names


def case_objects_of_nnx_are_changed_in_place(folder: Path) -> None:
    def made() -> tuple[Any, Any]:
        model = Net(nnx.Rngs(0))
        return model, nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)

    model, optimizer = made()
    with baton.init(folder / "run") as run:
        for _ in baton.jax.track(run, model=model, optimizer=optimizer).steps(1):
            model(jnp.ones((4, 6)))  # moves the statistics and the count of the random keys
            model.first.kernel[...] += 1
    other, fresh = made()
    kernel = other.first.kernel
    with baton.init(folder / "run") as run:
        training = baton.jax.track(run, model=other, optimizer=fresh)
        assert training.model is other and other.first.kernel is kernel
    assert np.array_equal(kernel[...], model.first.kernel[...])
    assert model(jnp.ones((4, 6))).tolist() == other(jnp.ones((4, 6))).tolist()
