"""Memory that runs out in TensorFlow, told apart from other errors: what helps is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from core.domain.errors import JobFailure
from core.domain.policies import Reason
from worker.oom import LESS_MEMORY

# A compiled program's allocator reports it in the text of an error of another class.
WORDS = ("RESOURCE_EXHAUSTED", "CUDA_ERROR_OUT_OF_MEMORY", "Out of memory")
MAX_WORDS = 2000


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raises JobFailure with `out_of_memory` for whatever TensorFlow says of memory that is not there."""
    try:
        yield
    except tf.errors.OpError as error:
        text = str(error)
        if not isinstance(error, tf.errors.ResourceExhaustedError) and not any(word in text for word in WORDS):
            raise
        message = f"the device's memory is full: {LESS_MEMORY}\n{text[:MAX_WORDS]}"
        raise JobFailure(Reason.OUT_OF_MEMORY, message) from error
