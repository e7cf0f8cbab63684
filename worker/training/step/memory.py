"""Recognises TensorFlow's errors about full memory, to report them with advice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from worker.failure_texts import LESS_MEMORY

# If a compiled program's allocator fails, the error has another class, and only its text shows the cause.
# The last text comes from a failed copy to the device.
ERROR_TEXTS = ("RESOURCE_EXHAUSTED", "CUDA_ERROR_OUT_OF_MEMORY", "Out of memory", "Dst tensor is not initialized")
MAX_ERROR_TEXT = 2000


def out_of_memory(error: tf.errors.OpError) -> bool:
    """Whether the error means that the memory of the device, or of the host, is full."""
    return isinstance(error, tf.errors.ResourceExhaustedError) or any(text in str(error) for text in ERROR_TEXTS)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turns TensorFlow's errors about full memory into JobFailure with `out_of_memory`."""
    try:
        yield
    except tf.errors.OpError as error:
        if not out_of_memory(error):
            raise
        message = f"the device's memory is full: {LESS_MEMORY}\n{str(error)[:MAX_ERROR_TEXT]}"
        raise JobFailure(Reason.OUT_OF_MEMORY, message) from error
