"""Augmenters in a random order: the host draws the order, so no program has to read it back from the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from baton.domain.spec import AugmentationSpec
from tests.training.device import compiled_steps, on_device_compiled
from tests.training.device_forms import OTHER
from tests.unit.training.augmenters import waves
from worker.training.augmentation.device import build_device, builder, philox
from worker.training.augmentation.device.random_draws import Draws

# Conditionals and loops whose predicate is data: the host would have to wait for the GPU.
CONTROL = {"If", "StatelessIf", "Case", "StatelessCase", "While", "StatelessWhile", "Switch", "Merge"}
SEEDS = [(0, 0), (1, 2), (-1, 2**31 - 1), (-(2**31), 7)]


@pytest.mark.parametrize("seed", SEEDS)
def test_host_and_device_draw_the_same_random_words(seed: tuple[int, int]) -> None:
    key = tf.reshape(tf.bitcast(tf.constant(seed), tf.uint64), [1])
    for place in (1, 3, 1 << 20):
        counter = tf.constant([0, place], tf.uint64)
        drawn = tf.raw_ops.StatelessRandomUniformFullIntV2(shape=[9], key=key, counter=counter, alg=1, dtype=tf.uint32)
        assert philox.words(np.array(seed, np.int32), place, 9) == drawn.numpy().tolist()


@pytest.mark.parametrize("augmentation", ["paper-2", OTHER], ids=["paper-2", "some_of"])
def test_the_order_is_drawn_after_the_choice(
    augmentation: str | AugmentationSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier versions of the step drew the order like imgaug's augmenters. A seed must keep its order."""
    made, drawing = build_device(augmentation), list[Draws]()

    class Kept(Draws):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            drawing.append(self)

    monkeypatch.setattr(builder, "Draws", Kept)
    for seed in SEEDS:
        made.choose(tf.zeros([4, 8, 8, 3], tf.uint8), tf.constant(seed))
        expected = tf.argsort(drawing[-1].uniform(len(made.steps))).numpy().tolist()
        assert made.drawn_order(np.array(seed, np.int32)) == expected


def test_equal_numbers_keep_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(philox, "words", lambda *_: [3 << 8, 1 << 8, 3 << 8 | 5, 1 << 8 | 9, 0])
    expected = tf.argsort(tf.constant([3.0, 1.0, 3.0, 1.0, 0.0])).numpy().tolist()
    assert philox.order(np.zeros(2, np.int32), 0, 5) == expected == [4, 1, 3, 0, 2]


def test_no_program_of_the_second_plan_branches_on_data() -> None:
    images = waves(4, 16)
    on_device_compiled("paper-2", images)
    begin, *steps = compiled_steps("paper-2").programs
    record, chosen = tf.zeros([20]), tf.zeros([4, len(steps)], tf.bool)
    given = [(begin, (tf.constant(images), record)), *((step, (tf.constant(images), chosen, record)) for step in steps)]
    for program, arguments in given:
        text = program.experimental_get_compiler_ir(*arguments)(stage="hlo")
        assert " conditional(" not in text
        assert " while(" not in text
        assert not CONTROL & operations(program.get_concrete_function(*arguments))


def operations(function: Any) -> set[str]:
    """The types of all operations of a traced function and of the functions that it calls."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for called in graph.library.function for node in called.node_def)]
    return {node.op for node in nodes}
