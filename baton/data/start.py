"""`baton.data.batches`: chooses how the batches of a source are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from baton.data.batches import Batches
from baton.data.indexed import IndexedBatches, Transform
from baton.data.sources import ArraySamples, is_arrays
from baton.data.trees import stacked
from baton.program.errors import ProgramError


def batches(
    source: Any,
    *,
    batch_size: int | None = None,
    seed: int = 0,
    shuffle: bool = True,
    drop_remainder: bool = False,
    transform: Transform | None = None,
    collate: Callable[[list[Any]], Any] | None = None,
    note: Callable[[str], object] | None = None,
) -> Batches:
    """The batches of a source, from any position on.

    `source`: an array, or a tuple or a dictionary of arrays with a sample in each row.

    >>> import baton, numpy as np, tempfile
    >>> def train(folder, stop_at):
    ...     seen = []
    ...     with baton.init(folder) as run:
    ...         saved = run.restore()
    ...         data = baton.data.batches((np.arange(10), np.eye(10)), batch_size=4, seed=1)
    ...         if saved:
    ...             data.restore(saved.cursor["data"])
    ...         step = saved.step if saved else 0
    ...         for epoch, part in data.epochs(2):
    ...             for index, (x, y) in part:
    ...                 seen.append(x.tolist())
    ...                 step += 1
    ...                 if step == stop_at:
    ...                     with run.save(step=step, cursor={"data": data.state()}):
    ...                         pass
    ...                     return seen
    ...     return seen
    >>> with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
    ...     train(one, stop_at=4) + train(one, stop_at=0) == train(two, stop_at=0)
    True
    """
    if not is_arrays(source):
        raise ProgramError(f"source: {type(source).__name__} is not supported")
    if batch_size is None:
        raise ProgramError("batch_size: is missing: the number of samples of a batch")
    return IndexedBatches(
        ArraySamples(source),
        batch_size=batch_size,
        seed=seed,
        shuffle=shuffle,
        drop_remainder=drop_remainder,
        transform=transform,
        collate=collate or stacked,
        note=note,
    )
