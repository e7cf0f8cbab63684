"""Memory that runs out in TensorFlow, told apart from other errors: what helps is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from worker.failure_texts import LESS_MEMORY

# A compiled program's allocator reports it in the text of an error of another class.
# The last one is said of a copy to the device.
WORDS = ("RESOURCE_EXHAUSTED", "CUDA_ERROR_OUT_OF_MEMORY", "Out of memory", "Dst tensor is not initialized")
MAX_WORDS = 2000


def out_of_memory(error: tf.errors.OpError) -> bool:
    """Whether TensorFlow says that the memory of the device, or of the host, is full."""
    return isinstance(error, tf.errors.ResourceExhaustedError) or any(word in str(error) for word in WORDS)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raises JobFailure with `out_of_memory` for whatever TensorFlow says of memory that is not there."""
    try:
        yield
    except tf.errors.OpError as error:
        if not out_of_memory(error):
            raise
        message = f"the device's memory is full: {LESS_MEMORY}\n{str(error)[:MAX_WORDS]}"
        raise JobFailure(Reason.OUT_OF_MEMORY, message) from error
