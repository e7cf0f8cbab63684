"""Batches of `baton.data.batches(...)`, which can be given again from any position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras.src.trainers.data_adapters import data_adapter_utils

from baton.adapters.batch_source import BatchSource, batches_per_epoch
from baton.keras.feeds import Handed


class SourceFeed:
    """Batches of a BatchSource. With `steps_per_epoch`, an epoch begins where the one before it ended."""

    def __init__(self, source: BatchSource, *, steps: int | None, class_weight: dict[int, float] | None) -> None:
        self._source, self._class_weight = source, class_weight
        self._pass = batches_per_epoch(source)
        self._own_epochs = steps is None
        self.steps: int | None = steps or self._pass
        self._handed = Handed()
        self._example: Any = None
        self._place = (0, 0)
        self._iterator: Iterator[Any] | None = None

    def example(self) -> Any:
        """The first batch of the source, which begins again when it is opened."""
        if self._example is None:
            batches = self._source.epoch(0)
            self._example = self._weighted(next(batches))
            batches.close()
        return self._example

    def open(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of this epoch from `start` on."""
        if self._own_epochs:
            self._place = (epoch, start)
        elif self._pass is not None and self.steps is not None:
            self._place = divmod(epoch * self.steps + start, self._pass)
        elif self._iterator is not None:
            return self._iterator
        ahead = self._source.resumes == "index"
        self._iterator = self._handed.iterator(self._batches(), self.example, ahead=ahead)
        return self._iterator

    def end_epoch(self, epoch: int) -> None:
        """Nothing: the source knows its epochs."""

    def _batches(self) -> Iterator[Any]:
        found = True
        while found:
            round_, start = self._place
            found = False
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

    def state(self) -> dict[str, Any]:
        """The state of the source."""
        return {"place": list(self._place), "source": self._source.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Set the state of the source."""
        self._source.restore(state["source"])
        round_, start = state["place"]
        self._place = (round_, start)

    def close(self) -> None:
        """End what makes batches ahead."""
        self._iterator = None
        close = getattr(self._source, "close", None)
        if close is not None:
            close()
