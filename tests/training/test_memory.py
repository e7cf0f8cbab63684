"""TensorFlow itself runs out of memory."""

from __future__ import annotations

import pytest
import tensorflow as tf

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from worker.attempt.failures import failed
from worker.training.step.memory import memory_errors


@pytest.mark.parametrize("compiled", [False, True])
def test_a_tensor_that_fits_nowhere(compiled: bool) -> None:
    def make(side: tf.Tensor) -> tf.Tensor:
        return tf.ones([side, side, 16]) + 1.0

    function = tf.function(make) if compiled else make
    with pytest.raises(JobFailure) as caught, memory_errors():
        function(tf.constant(2**21))
    assert caught.value.reason is Reason.OUT_OF_MEMORY
    finish = failed(1, caught.value, at_step=3)
    assert finish.reason is Reason.OUT_OF_MEMORY
    assert "take a smaller batch_size or network.width" in finish.message
    assert finish.fault is not None
    assert "ResourceExhaustedError" in finish.fault


@pytest.mark.parametrize(
    "text", ["RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 byte", "CUDA_ERROR_OUT_OF_MEMORY: x"]
)
def test_what_a_compiled_program_says_of_it(text: str) -> None:
    with pytest.raises(JobFailure), memory_errors():
        raise tf.errors.InternalError(None, None, text)


def test_other_errors_pass() -> None:
    for error in (tf.errors.InvalidArgumentError(None, None, "shapes differ"), ValueError("x")):
        with pytest.raises(type(error)), memory_errors():
            raise error
