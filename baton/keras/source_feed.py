"""Batches of `baton.data.batches(...)`, which can be given again from any position."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from keras.src.trainers.data_adapters import data_adapter_utils

from baton.adapters.batch_source import BatchSource, batches_per_epoch
from baton.keras.feeds import Handed
from baton.program.errors import ProgramError


class SourceFeed:
    """Batches of a BatchSource. With `steps_per_epoch`, an epoch begins where the one before it ended.

    `restarts`: each epoch is the beginning of the first epoch of the source.
    """

    read_again = 0

    def __init__(
        self,
        source: BatchSource,
        *,
        steps: int | None,
        first_epoch: int,
        class_weight: dict[int, float] | None,
        restarts: bool,
    ) -> None:
        self._source, self._class_weight, self._restarts = source, class_weight, restarts
        self._pass = batches_per_epoch(source)
        self._own_epochs = steps is None
        self.steps: int | None = steps or self._pass
        self._handed = Handed()
        self._example: Any = None
        self._place = (first_epoch if steps is None else 0, 0)
        self._peeked: Iterator[Any] | None = None
        self._form: Any = None
        self._iterator: Iterator[Any] | None = None

    def example(self) -> Any:
        """The first batch, or after a restart zeros of its form: not every source can be read from its beginning."""
        if self._example is None:
            self._peeked = self._batches()
            self._example = next(self._peeked, None)
            if self._example is None:
                raise ProgramError("x: the source has no batches")
            self._peeked = itertools.chain([self._example], self._peeked)
            self._form = _form(self._example)
        return self._example

    def open(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of this epoch from `start` on."""
        self.example()  # before the place is set: it may open the source, and then `_peeked` has all batches
        if self._restarts:
            self._place = (0, start)
        elif self._own_epochs:
            self._place = (epoch, start)
        elif self._pass is not None and self.steps is not None:
            self._place = divmod(epoch * self.steps + start, self._pass)
        elif self._iterator is not None:
            return self._iterator
        batches, self._peeked = self._peeked or self._batches(), None
        ahead = self._source.resumes == "index"
        self._iterator = self._handed.iterator(batches, self.example, ahead=ahead)
        return self._iterator

    def end_epoch(self, epoch: int) -> None:
        """Nothing: the source knows its epochs."""

    def _batches(self) -> Iterator[Any]:
        found = True
        while found:
            round_, start = self._place
            found = start > 0  # a pass whose last batch came before the save has none left
            for number, batch in enumerate(self._source.epoch(round_, start), start + 1):
                self._place, found = (round_, number), True
                yield self._weighted(batch)
            if self._own_epochs:
                return
            self._place = (round_ + 1, 0)

    def _weighted(self, batch: Any) -> Any:
        x, y, weight = data_adapter_utils.unpack_x_y_sample_weight(batch)
        if self._class_weight is not None:
            if weight is not None:
                raise ValueError("class_weight: the batches have sample weights already")
            weight = data_adapter_utils.class_weight_to_sample_weights(y, self._class_weight)
        parts = (x, y, weight)
        return parts[: 3 if weight is not None else 2 if y is not None else 1]

    def description(self) -> dict[str, Any]:
        """The kind only: `restore` of the source checks all else."""
        return {"kind": "baton.data.batches"}

    def state(self) -> dict[str, Any]:
        """The state of the source."""
        return {"place": list(self._place), "source": self._source.state(), "form": self._form}

    def restore(self, state: dict[str, Any]) -> None:
        """Set the state of the source."""
        self._source.restore(state["source"])
        self._form = state["form"]
        self._example = _zeros(self._form)
        round_, start = state["place"]
        self._place = (round_, start)

    def reach(self, epoch: int, start: int | None) -> None:
        """Nothing: `open` does it."""

    def close(self) -> None:
        """End what makes batches ahead."""
        self._iterator = self._peeked = None
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


def _form(tree: Any) -> Any:
    """Shapes and types of a batch, as JSON.

    >>> _form((np.zeros((2, 3)),))
    [{'shape': [2, 3], 'dtype': '<f8'}]
    """
    if isinstance(tree, dict):
        return {"names": {name: _form(part) for name, part in tree.items()}}
    if isinstance(tree, list | tuple):
        return [_form(part) for part in tree]
    return None if tree is None else {"shape": list(np.shape(tree)), "dtype": np.asarray(tree).dtype.str}


def _zeros(form: Any) -> Any:
    """A batch of zeros of this form."""
    if isinstance(form, list):
        return tuple(_zeros(part) for part in form)
    if form is None:
        return None
    if "names" in form:
        return {name: _zeros(part) for name, part in form["names"].items()}
    return np.zeros(form["shape"], np.dtype(form["dtype"]))
