"""`baton.keras.fit`: what `model.fit` is called with, and where the run continues."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras.src.trainers import data_adapters
from keras.src.trainers.data_adapters import array_slicing, data_adapter_utils
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter, can_convert_arrays

from baton.adapters.batch_source import BatchSource
from baton.keras.arguments import check_same, of_data, plain
from baton.keras.array_feed import ArrayFeed
from baton.keras.feeds import Feed
from baton.keras.fits import Call, fits_of
from baton.keras.loop import Loop, Plan
from baton.keras.pydataset_feed import PyDatasetFeed
from baton.keras.source_feed import SourceFeed
from baton.keras.stream_feed import StreamFeed
from baton.keras.support import check_keras, check_one_device, on_jax
from baton.program.errors import Stopped
from baton.program.run import Run
from baton.program.start import current_run, init


def fit(  # noqa: PLR0913, PLR0917 - as model.fit
    model: Any,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: Any = "auto",
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: bool | str = True,
    class_weight: Mapping[int, float] | None = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: int | Sequence[int] = 1,
    *,
    run: Run | None = None,
    seed: int = 0,
) -> Any:
    """`model.fit`, which continues at the exact step after its process was killed or told to stop.

    The arguments are those of `model.fit`, and so is the result, a `keras.callbacks.History` of all epochs. The program
    builds and compiles the same model again; `fit` then sets what the last save holds: all variables, the optimizer,
    sums of metrics, random generators, callbacks and the position in the data.

    `run`: the run of this process; without it, `baton.init()` makes one. `seed`: of the order of the samples. `x`: also
    what `baton.data.batches` returns. Several calls in one program continue where the program was: a call that had
    ended trains nothing, and gives its model and its callbacks the state that they had at its end.

    Raises:
        Stopped: the run must stop, and is saved. Do not catch it.
        ProgramError: this version or backend of Keras was not tested, the save is of another model, other data or other
            callbacks, or a callback cannot be used. The message says what to do.
        ValueError: as `model.fit`.

    >>> import baton.keras, keras, numpy as np, tempfile
    >>> def train(folder, epochs):
    ...     model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    ...     model.compile("adam", "mse")
    ...     with baton.init(folder) as run:
    ...         found = baton.keras.fit(model, np.eye(3), np.ones(3), epochs=epochs, verbose=0, run=run)
    ...     return found.epoch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     train(folder, epochs=2), train(folder, epochs=4)
    ([0, 1], [0, 1, 2, 3])
    """
    check_keras()
    check_one_device(model)
    model._assert_compile_called("fit")
    own = run is None
    run = run or _open_run()
    fits = fits_of(run)
    options = {
        "validation_split": plain(validation_split),
        "initial_epoch": plain(initial_epoch),
        "steps_per_epoch": plain(steps_per_epoch),
        "validation_steps": plain(validation_steps),
        "validation_freq": plain(validation_freq),
        "class_weight": plain(class_weight),
        "sample_weight": "missing" if sample_weight is None else "given",
    }
    if validation_split and validation_data is None:
        (x, y, sample_weight), validation_data = array_slicing.train_validation_split(
            (x, y, sample_weight), validation_split=validation_split
        )
    feed = _feed((x, y, sample_weight), batch_size, steps_per_epoch, shuffle, class_weight, seed, initial_epoch)
    test_feed = _test_feed(validation_data, validation_batch_size or batch_size, validation_steps, seed)
    found = {**options, **of_data(feed, validation=False), **of_data(test_feed, validation=True)}
    call = fits.begin(initial_epoch)
    if call.cursor is not None:
        check_same(call.cursor["arguments"], found, call.number)
        feed.restore(call.cursor["data"])
        if test_feed is not None:
            test_feed.restore(call.cursor["validation"])
    _build(model, feed)
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = keras.callbacks.CallbackList(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=epochs,
            steps=feed.steps,
            model=model,
        )

    def validates(epoch: int) -> bool:
        return bool(model._should_eval(epoch, validation_freq))

    loop = Loop(model, run, fits, Plan(call, initial_epoch, epochs, validates, found), feed, test_feed, callbacks)
    if call.ended:
        loop.repeat_the_end()
        run.note(_ended(call, epochs))
        return model.history
    try:
        loop.run()
    except Stopped:
        if own:
            run.close()  # so that a cell of a notebook can be run again
        raise
    return model.history


def _open_run() -> Run:
    """The run of this process that can go on, else a new one."""
    run = current_run()
    return run if run is not None and not run.stopping else init()


def _test_feed(data: Any, batch_size: int | None, steps: int | None, seed: int) -> Feed | None:
    """The batches of `validation_data`."""
    if data is None:
        return None
    parts = (data, None, None) if isinstance(data, BatchSource) else data_adapter_utils.unpack_x_y_sample_weight(data)
    return _feed(parts, batch_size, steps, False, None, seed, None)


def _ended(call: Call, epochs: int) -> str:
    assert call.cursor is not None
    text = f"call {call.number + 1} of baton.keras.fit had ended before the save, and left its model as at that time"
    before = call.cursor["epochs"]
    return text if epochs <= before else f"{text}: it ended with epochs={before}, and epochs={epochs} has no effect"


def _feed(
    data: tuple[Any, Any, Any],
    batch_size: int | None,
    steps: int | None,
    shuffle: bool | str,
    class_weight: Mapping[int, float] | None,
    seed: int,
    first_epoch: int | None,
) -> Feed:
    """The batches of (x, y, sample_weight). `first_epoch`: None for a validation."""
    x, y, sample_weight = data
    weights = dict(class_weight) if class_weight is not None else None
    first, restarts = first_epoch or 0, first_epoch is None
    if isinstance(x, BatchSource):
        return SourceFeed(x, steps=steps, first_epoch=first, class_weight=weights, restarts=restarts)
    if not can_convert_arrays((x, y, sample_weight)) and not isinstance(x, keras.utils.PyDataset):
        shuffle = False  # Keras warns of it otherwise; data of other kinds have their own order
    adapter = data_adapters.get_data_adapter(
        x=x,
        y=y,
        sample_weight=sample_weight,
        batch_size=batch_size,
        steps_per_epoch=steps,
        shuffle=shuffle,
        class_weight=weights,
    )
    if isinstance(adapter, ArrayDataAdapter):
        return ArrayFeed(adapter, seed=seed, shuffle=shuffle, steps=steps, restarts=restarts)
    if isinstance(x, keras.utils.PyDataset):
        return PyDatasetFeed(
            x, seed=seed, shuffle=shuffle, steps=steps, first_epoch=first, class_weight=weights, restarts=restarts
        )
    return StreamFeed(adapter, steps=steps, first_epoch=first, restarts=restarts)


def _build(model: Any, feed: Feed) -> None:
    """Make all variables before the restore assigns them."""
    # A model with its own train_step and without `call`, such as a GAN, makes them in its first step on TensorFlow.
    with contextlib.nullcontext() if on_jax() else contextlib.suppress(Exception):
        model._symbolic_build(data_batch=feed.example())
