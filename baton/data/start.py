"""`baton.data.batches`: chooses how the batches of a source are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from baton.data.batches import Batches
from baton.data.indexed import IndexedBatches
from baton.data.making import Collate, Maker, Plan, Transform
from baton.data.permutation import LARGEST
from baton.data.sources import ArraySamples, GrainSamples, KerasBatches, ListedSamples, Samples, is_a, is_arrays
from baton.data.streams import Items, StreamBatches
from baton.program.checks import count
from baton.program.errors import ProgramError


def batches(  # noqa: PLR0913 - one for each property of the batches
    source: Any,
    *,
    batch_size: int | None = None,
    seed: int = 0,
    shuffle: bool | None = None,
    drop_remainder: bool = False,
    transform: Transform | None = None,
    collate: Collate | None = None,
    threads: int = 0,
    processes: int = 0,
    ahead: int = 2,
    replay: str | None = None,
    strict: bool = False,
    note: Callable[[str], object] | None = None,
) -> Batches:
    """The batches of a source, from any position on, for loops and adapters that continue in the middle of an epoch.

    Sources with indices, where a batch is a function of the seed, the epoch and its index: arrays (one, or a tuple or a
    dictionary of them, with a sample in each row), Grain's MapDataset, Keras's PyDataset, and map-style data sets, such
    as those of Hugging Face and torch: anything with `__len__` and `__getitem__`. Other iterables continue by their
    state (`state_dict`, or `get_state` of the iterator) or are read again up to the position, and an event says how
    long that took. A function is called with the epoch and returns an iterable.

    `batch_size`: samples of a batch. None for a PyDataset, and if each item of a MapDataset or of an iterable is a
    batch. `seed`: of the order and of `transform`. `shuffle`: True for sources with indices, unless it is a MapDataset.
    `drop_remainder`: leave out the last batch if it is smaller. `transform`: called as `transform(sample, rng)`, with a
    generator of NumPy for each sample and epoch. `collate`: makes a batch of a list of samples; arrays are stacked by
    default. `threads` or `processes` (with Grain): how many make batches ahead; 0: each batch is made when it is
    needed. `ahead`: how many batches. `replay`: what is read again of an iterable without states, the `epoch` or the
    whole `run`; by default the run where one epoch may depend on the other. `strict`: raise an error instead of telling
    it if the data after a restart is not the same.

    Raises:
        ProgramError: an argument is invalid or does not fit the source.

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
    size = None if batch_size is None else count(batch_size, "batch_size")
    number = _seed(seed)
    workers = {name: count(one, name) for name, one in (("threads", threads), ("processes", processes))}
    if size == 0:
        raise ProgramError("batch_size: must be at least 1")
    if threads and processes:
        raise ProgramError("threads, processes: pass one of them")
    if replay not in (None, "epoch", "run"):
        raise ProgramError(f"replay: must be 'epoch' or 'run', not {replay!r}")
    samples = _samples(source, size)
    if samples is None:
        if threads or processes:
            raise ProgramError("threads, processes: the source is an iterable, which is read in order. Use its own")
        if shuffle:
            raise ProgramError("shuffle: the source is an iterable, and its order is its own. Shuffle there")
        items = Items(size, drop_remainder, number, transform, collate)
        whole_run = None if replay is None else replay == "run"
        return StreamBatches(source, items, whole_run=whole_run, strict=strict, note=note)
    if not 0 < len(samples) <= LARGEST:
        raise ProgramError(
            f"source: has {len(samples)} samples. It needs at least one, and an end: leave `repeat` out, because the "
            "epochs are counted by what reads the batches"
        )
    plan = Plan(
        len(samples), size or 1, number, not samples.keeps_order if shuffle is None else shuffle, drop_remainder
    )
    maker = Maker(samples, plan, transform, collate)
    return IndexedBatches(
        maker, **workers, ahead=max(count(ahead, "ahead"), *workers.values()), strict=strict, note=note
    )


def _seed(value: object) -> int:
    if not isinstance(value, bool) and hasattr(value, "__index__"):
        return int(value)
    raise ProgramError(f"seed: must be a whole number, not {type(value).__name__}")


def _samples(source: Any, size: int | None) -> Samples | None:
    """The source as samples with indices; None if it is an iterable or a function."""
    if is_arrays(source):
        _needs(size)
        return ArraySamples(source)
    if is_a(source, "grain", "MapDataset"):
        return GrainSamples(source, whole_batches=size is None)
    if is_a(source, "keras", "utils", "PyDataset"):
        if size is not None:
            raise ProgramError("batch_size: each item of a PyDataset is a batch already: leave batch_size out")
        return KerasBatches(source)
    if isinstance(source, str | bytes | dict):
        raise ProgramError(
            f"source: {type(source).__name__} is no data: pass arrays, a data set, an iterable or a function of the "
            "epoch. All values of a dictionary or a tuple have to be arrays"
        )
    # torch gives __getitem__ to its IterableDataset too.
    listed = hasattr(source, "__len__") and hasattr(source, "__getitem__")
    if listed and not is_a(source, "torch", "utils", "data", "IterableDataset"):
        _needs(size)
        return ListedSamples(source)
    if hasattr(source, "__iter__") or callable(source):
        return None
    raise ProgramError(f"source: {type(source).__name__} has neither indices nor an iterator, and is no function")


def _needs(size: int | None) -> None:
    if size is None:
        raise ProgramError("batch_size: is missing: pass the number of samples of a batch")
