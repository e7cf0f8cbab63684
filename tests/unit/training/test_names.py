"""What TensorFlow traces is named by its program, whatever was traced before it in the process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

from worker.training import environment, names
from worker.training.environment import REPEATING_XLA, compiles, describe, program_machine
from worker.training.names import stable_names


@pytest.fixture
def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no program had been traced yet."""
    monkeypatch.setattr(names, "_uses", type(names._uses)())


def traced(program: str) -> str:
    """The name under which TensorFlow traces something."""
    with stable_names(program):
        return str(tf.function(lambda x: x + 1).get_concrete_function(tf.TensorSpec(())).name)


def drawn(program: str, count: int = 3) -> list[int]:
    with stable_names(program):
        return [ops.uid() for _ in range(count)]


def test_the_order_of_tracing_does_not_matter(another_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    first = drawn("step"), drawn("judge")
    monkeypatch.setattr(names, "_uses", type(names._uses)())
    tf.function(lambda x: x * 2).get_concrete_function(tf.TensorSpec(()))
    assert (drawn("judge"), drawn("step")) == first[::-1]


def test_no_two_programs_share_a_name(another_process: None) -> None:
    rows = [drawn("step"), drawn("step"), drawn("judge")]
    assert len({number for row in rows for number in row}) == 9
    assert traced("step") != traced("step")


def test_other_threads_and_what_comes_after_count_as_ever(another_process: None) -> None:
    before = ops.uid()
    with stable_names("step"), ThreadPoolExecutor(1) as pool:
        assert ops.uid() > 2**20
        assert pool.submit(ops.uid).result() == before + 1
    assert ops.uid() == before + 2


def test_processors_compile_where_they_are_told_to() -> None:
    assert [compiles(xla) for xla in ("on", "off", "auto")] == [True, False, False]


def test_the_machine_of_a_processor_is_its_kind_its_threads_and_the_libraries() -> None:
    here = program_machine(2)
    assert set(here) == {"processor", "threads", "TensorFlow", "Keras"}
    assert program_machine(3) == {**here, "threads": "3"}


def test_that_a_gpu_uses_fewer_operations_is_part_of_its_bits_and_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_gpus", lambda: [SimpleNamespace(name="GPU:0")])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _gpu: {"device_name": "H100"})
    for made in (describe, program_machine):
        monkeypatch.delenv("XLA_FLAGS", raising=False)
        before = made(2)
        monkeypatch.setenv("XLA_FLAGS", f"--xla_dump_to=/tmp {REPEATING_XLA}")
        assert made(2) == {**before, "nondeterministic ops": "excluded"}
