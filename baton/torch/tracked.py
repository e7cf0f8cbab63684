"""`baton.torch.track`."""

from __future__ import annotations

from typing import Any

import torch

from baton.adapters.batch_source import BatchSource
from baton.adapters.training import Training
from baton.program.errors import ProgramError
from baton.program.run import Run
from baton.torch.loaders import loader_source
from baton.torch.objects import set_and_verify, state_of
from baton.torch.optimizers import OptimizerState
from baton.torch.random_states import random_states, set_random_states


def track(run: Run, /, **objects: Any) -> TorchTraining:
    """Saves and restores these objects. Call it once, when all of them are there, and use the loops of what it returns.

    The loops take `baton.data.batches(...)`, a DataLoader, or a loader with `state_dict()` and `load_state_dict()`,
    such as a StatefulDataLoader. For a DataLoader of a map-style data set, the order of an epoch, and all that is drawn
    while a batch is made, depend only on the seed of PyTorch, the epoch and the number of the batch.

    If the run has a save, the objects have its state afterwards. The state of a loop that continues is set once more
    when the loop begins, together with the random generators of Python, NumPy and PyTorch (CPU and CUDA).

    `objects`: by any names: modules, optimizers, schedulers, a GradScaler, an AveragedModel and all else with
    `state_dict()` and `load_state_dict()`; generators; objects with `get_state()` and `set_state()`; dictionaries of
    plain values and tensors, which the script has to change in place. A name must stay the same from run to run.

    Raises:
        ProgramError: an object has no state that can be saved, or the save does not fit the objects. The message names
            the first difference.

    >>> import baton, tempfile
    >>> def train(folder, epochs):
    ...     with baton.init(folder) as run:
    ...         _ = torch.manual_seed(0)
    ...         model = torch.nn.Linear(2, 1)
    ...         optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ...         data = torch.utils.data.TensorDataset(torch.rand(8, 2), torch.rand(8, 1))
    ...         loader = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True)
    ...         training = baton.torch.track(run, model=model, optimizer=optimizer)
    ...         for epoch in training.epochs(epochs):
    ...             for x, y in training.batches(loader):
    ...                 optimizer.zero_grad()
    ...                 (model(x) - y).square().mean().backward()
    ...                 optimizer.step()
    ...         return training.step, model.weight.tolist()
    >>> with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
    ...     _ = train(one, 1)  # an interrupted run
    ...     train(one, 3) == train(other, 3)
    True
    """
    return TorchTraining(run, objects)


class TorchTraining(Training):
    """What `track` returns."""

    def __init__(self, run: Run, objects: dict[str, Any]) -> None:
        super().__init__(run)
        self._states = {name: state_of(name, target) for name, target in objects.items()}
        self._optimizers = [state for state in self._states.values() if isinstance(state, OptimizerState)]
        self._seed: int | None = None
        self._begin()

    def _begin_step(self) -> None:
        for optimizer in self._optimizers:
            optimizer.begin_step()

    def _copied(self) -> dict[str, Any]:
        return {
            "framework": "torch",
            "objects": {name: state.read() for name, state in self._states.items()},
            "random": random_states(),
            "seed": self._seed,
        }

    def _set(self, tree: dict[str, Any], *, verify: bool) -> None:
        if tree.get("framework") != "torch":
            raise ProgramError("the save was not made by baton.torch. Run the script that made it, or begin a new run")
        saved = tree["objects"]
        for name in [*saved, *self._states]:
            if name not in saved or name not in self._states:
                where = "in the save, and track has no such object" if name in saved else "not in the save"
                raise ProgramError(
                    f"track: {name} is {where}. Track the same names as the run that made the save, or begin a new run"
                )
        for name, state in self._states.items():
            if verify:
                set_and_verify(name, state, saved[name])
            else:
                state.set(saved[name])
        self._seed = tree["seed"]
        set_random_states(tree["random"])

    def _source_of(self, loader: Any) -> BatchSource:
        if self._seed is None:
            self._seed = torch.initial_seed()
        return loader_source(loader, self._seed)
