"""`baton.jax.track`."""

from __future__ import annotations

from typing import Any

import jax

from baton.adapters.batch_source import BatchSource
from baton.adapters.random_states import random_states, set_random_states
from baton.adapters.training import Training
from baton.jax.leaves import from_host, leaves_of, to_host
from baton.jax.nnx import is_module, set_module, tree_of
from baton.program.errors import ProgramError
from baton.program.run import Run


def track(run: Run, /, **trees: Any) -> JaxTraining:
    """Saves and restores these pytrees. Call it once, and use the loops of what it returns.

    Each tree is an attribute of the result: read it there, and assign the next one there after each step. If the run
    has a save, the attributes have its values from the beginning.

    `trees`: by any names: parameters, the state of an optimizer, random keys, a TrainState of Flax. The structure is
    that of the tree that is given here. Modules and optimizers of `flax.nnx` are changed in place. A name must stay the
    same from run to run. The generators of Python and NumPy are restored too.

    Raises:
        ProgramError: a leaf cannot be saved, or the save does not fit the trees. The message names the first
            difference.

    >>> import baton, jax.numpy as jnp, tempfile
    >>> def train(folder, steps):
    ...     with baton.init(folder) as run:
    ...         training = baton.jax.track(run, state={"key": jax.random.key(0), "sum": jnp.zeros(2)})
    ...         for step in training.steps(steps):
    ...             key, drawn = jax.random.split(training.state["key"])
    ...             noise = jax.random.normal(drawn, (2,))
    ...             training.state = {"key": key, "sum": training.state["sum"] + noise}
    ...         return training.state["sum"].tolist()
    >>> with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
    ...     _ = train(one, 3)  # an interrupted run
    ...     train(one, 5) == train(other, 5)
    True
    """
    return JaxTraining(run, trees)


class JaxTraining(Training):
    """What `track` returns. Its trees are attributes."""

    def __init__(self, run: Run, trees: dict[str, Any]) -> None:
        for name in trees:
            if hasattr(Training, name) or name.startswith("_") or name in ("step", "epoch", "batch"):
                raise ProgramError(f"track: {name} is a name of the training itself; use another one")
        self._trees: dict[str, Any] = {}
        super().__init__(run)
        self._trees.update(trees)
        self._assigned = all(is_module(tree) for tree in trees.values())
        self._begin()

    def __getattr__(self, name: str) -> Any:
        trees = vars(self).get("_trees", {})
        if name not in trees:
            raise AttributeError(f"the training has no {name!r}; it tracks {', '.join(trees) or 'nothing'}")
        return trees[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self).get("_trees", {}):
            self._trees[name] = value
            self._assigned = True
        else:
            super().__setattr__(name, value)

    def _drilled(self) -> dict[str, Any]:
        """What `baton drill` looks at."""
        return {**self._trees}

    def _copied(self) -> dict[str, Any]:
        trees = {name: to_host(leaves_of(tree_of(tree)), name) for name, tree in self._trees.items()}
        return {"framework": "jax", "trees": trees, "random": random_states()}

    def _save(self) -> None:
        if not self._assigned:
            names = " or ".join(f"training.{name}" for name in self._trees)
            raise ProgramError(f"nothing was assigned to {names} since track: assign the next tree there in each step")
        super()._save()

    def _set(self, tree: dict[str, Any], *, verify: bool) -> None:  # noqa: ARG002
        if tree.get("framework") != "jax":
            raise ProgramError("the save was not made by baton.jax. Run the script that made it, or begin a new run")
        saved = tree["trees"]
        for name in [*saved, *self._trees]:
            if name not in saved or name not in self._trees:
                where = "in the save, and track has no such tree" if name in saved else "not in the save"
                raise ProgramError(
                    f"track: {name} is {where}. Track the same names as the run that made the save, or begin a new run"
                )
        for name, now in self._trees.items():
            restored = _restored(saved[name], tree_of(now), name)
            if is_module(now):
                set_module(now, restored)
            else:
                self._trees[name] = restored
        set_random_states(tree["random"])

    def _source_of(self, loader: Any) -> BatchSource:
        raise ProgramError(
            f"batches: a {type(loader).__qualname__} cannot be resumed. Pass baton.data.batches(...), which takes most "
            "kinds of data"
        )


def _restored(saved: dict[str, Any], like: Any, name: str) -> Any:
    """A tree of the structure of `like` with the saved leaves."""
    leaves = leaves_of(like)
    for path in [*saved, *leaves]:
        if path not in saved or path not in leaves:
            where = "in the save, and the tree has no such leaf" if path in saved else "not in the save"
            raise ProgramError(
                f"{name}{path} is {where}. Make the tree as the run did that made the save, or begin a new run"
            )
    structure = jax.tree_util.tree_structure(like)
    return jax.tree_util.tree_unflatten(
        structure, [from_host(saved[path], leaf, f"{name}{path}") for path, leaf in leaves.items()]
    )
