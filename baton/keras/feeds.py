"""The batches of `x`, from any step of any epoch on, as what a training function of Keras takes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

from keras.src import tree
from keras.src.trainers.data_adapters import data_adapter_utils

from baton.keras.support import on_jax

AS_IT_IS = "as it is"
"""The order of batches that are not shuffled."""


class Feed(Protocol):
    """Batches for epochs. `steps`: the number of batches of an epoch; None if it is not known before its end.

    The feed of a validation counts validations instead of epochs, from 0 in each call of `fit`. Each one begins with
    the first batch (`restarts`). `read_again`: batches that were read again after a restart.
    """

    steps: int | None
    read_again: int

    def description(self) -> dict[str, Any]:
        """What decides which batch has which index, as JSON. The keys are those of `arguments.NAMES`."""
        ...

    def example(self) -> Any:
        """A batch from which a model can be built. Making it does not change the order of the batches."""
        ...

    def open(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of this epoch from `start` on. Call it after the batches before it were used, or at first."""
        ...

    def end_epoch(self, epoch: int) -> None:
        """All batches of the epoch that are needed were used."""
        ...

    def state(self) -> dict[str, Any]:
        """What else belongs to the position, as JSON."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Prepare `open` after a restart, with what `state` returned."""
        ...

    def reach(self, epoch: int, start: int | None) -> None:
        """After a restart: be as after the batches before `start`, or after all batches of the epoch if it is None.

        Call it for each epoch in turn. What takes time or draws random numbers happens here, and not in `open`.
        """
        ...

    def close(self) -> None:
        """End what makes batches ahead."""
        ...


class Handed:
    """Hands batches that Python makes to Keras: on JAX as they are, on TensorFlow through one data set.

    One data set means one element type, so TensorFlow traces the step once. If it got the arrays, it would trace the
    step for each shape, and then the bits of a step depend on which shapes the process has seen before.
    """

    def __init__(self) -> None:
        self._current: Iterator[Any] = iter(())
        self._dataset: Any = None

    def iterator(self, batches: Iterator[Any], example: Callable[[], Any], *, ahead: bool) -> Iterator[Any]:
        """An iterator for a training function. `ahead`: JAX may copy a batch to the GPU before the step before it."""
        if on_jax():
            return to_the_device(batches) if ahead else data_adapter_utils.get_jax_iterator(batches)
        self._current = batches
        if self._dataset is None:
            self._dataset = self._make(example())
        found: Iterator[Any] = iter(self._dataset)
        return found

    def _make(self, example: Any) -> Any:
        import tensorflow as tf

        specs = data_adapter_utils.get_tensor_spec([example])
        dataset = tf.data.Dataset.from_generator(self._converted, output_signature=specs)
        # A batch that is made ahead would not be lost, but it would draw random numbers too early.
        options = tf.data.Options()
        options.experimental_optimization.apply_default_optimizations = False
        options.experimental_optimization.inject_prefetch = False
        options.autotune.enabled = False
        return dataset.with_options(options)

    def _converted(self) -> Iterator[Any]:
        for batch in self._current:
            yield tree.map_structure(_for_tensorflow, tree.lists_to_tuples(batch))


def _for_tensorflow(leaf: Any) -> Any:
    if leaf is None:
        import tensorflow as tf

        return tf.experimental.Optional.empty(None)
    if data_adapter_utils.is_scipy_sparse(leaf):
        return data_adapter_utils.scipy_sparse_to_tf_sparse(leaf)
    return leaf


def to_the_device(batches: Iterator[Any]) -> Iterator[Any]:
    """Batches for a training function of JAX. The copy of a batch to a GPU begins during the step before it."""
    import jax
    from keras.src.backend.jax.trainer import _distribute_data

    found: Iterator[Any] = data_adapter_utils.get_jax_iterator(batches)
    return found if jax.default_backend() == "cpu" else _one_ahead(_distribute_data(batch) for batch in found)


def _one_ahead(batches: Iterator[Any]) -> Generator[Any, None, None]:
    waiting: list[Any] = []
    for batch in batches:
        waiting.append(batch)
        if len(waiting) == 2:
            yield waiting.pop(0)
    yield from waiting
