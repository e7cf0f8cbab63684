"""What one pass over a `tf.data.Dataset` changes for the next one, so that a restart reads only what it must."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

_PURE = frozenset(
    {
        "Batch", "Filter", "Map", "Options", "PaddedBatch", "ParallelBatch", "ParallelMap", "Prefetch", "Range",
        "Shard", "Skip", "SparseTensorSlice", "Take", "Tensor", "TensorSlice", "Unbatch", "Zip",
    }
)  # fmt: skip
"""Steps of a pipeline that keep nothing from one pass to the next one, if their functions keep nothing."""
_REPEATED_ALIKE = frozenset({"Cache", "Concatenate", "Repeat"})
"""Steps that may begin what is below them in the middle of a pass, or not at all: pure only without a shuffle."""


class Pass(Enum):
    """How a pass is done again."""

    NOTHING = "all passes are the same"
    BEGIN = "its beginning draws the order of the pass"
    READ = "reading its batches may change the next passes"


def what_a_pass_changes(dataset: Any) -> Pass:
    """What has to be done again for each earlier pass, after which a new pass is the same as in the first process.

    >>> import tensorflow as tf
    >>> numbers = tf.data.Dataset.range(8)
    >>> what_a_pass_changes(numbers.batch(4)).name, what_a_pass_changes(numbers.shuffle(8).batch(4)).name
    ('NOTHING', 'BEGIN')
    >>> what_a_pass_changes(numbers.map(lambda one: tf.random.uniform(())).batch(4)).name
    'READ'
    """
    try:
        steps = list(_steps(dataset))
    except (AttributeError, TypeError):  # these parts of TensorFlow are not public
        return Pass.READ
    names = {name for name, _ in steps}
    shuffles = "Shuffle" in names
    allowed = _PURE | ({"Shuffle"} if shuffles else _REPEATED_ALIKE)
    if not names <= allowed or any(stateful for _, stateful in steps):
        return Pass.READ
    return Pass.BEGIN if shuffles else Pass.NOTHING


def _steps(dataset: Any) -> Iterator[tuple[str, bool]]:
    """The name of each step of the pipeline, and whether a function of it has a state or draws random numbers."""
    name = type(dataset).__name__.strip("_").removesuffix("V2").removesuffix("Dataset")
    yield name, any(one.function.function_def.signature.is_stateful for one in dataset._functions())
    for below in dataset._inputs():
        yield from _steps(below)
