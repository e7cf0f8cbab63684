"""The engine returns arrays for saving: an exact copy of everything that the next step depends on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.training.small_engine import BATCH, CLASSES, IMAGES, LABELS, contents, spec
from worker.training.output.exports import ModelFiles
from worker.training.step.engine import Engine


@dataclass(frozen=True)
class Pair:
    """Two engines of the same spec. Their compilation takes seconds, so all tests of this module use them."""

    one: Engine
    other: Engine


@pytest.fixture(scope="module", params=["network-1", "network-2"])
def pair(request: pytest.FixtureRequest) -> Pair:
    made = Pair(*(Engine(spec(request.param), CLASSES) for _ in range(2)))
    made.one.train_step(IMAGES, LABELS, 1e-3)
    return made


@pytest.fixture
def engine(pair: Pair) -> Engine:
    return pair.one


def test_the_copy_is_what_keras_reads(engine: Engine) -> None:
    copied = list(engine.arrays().values())
    read = [np.array(v.numpy()) for v in engine.network.variables]
    assert len(copied) > 2 * len(read)
    for ours, theirs in zip(copied, read, strict=False):
        assert (ours.dtype, ours.shape, ours.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes())


def test_the_answers_are_those_of_the_network_itself(engine: Engine) -> None:
    images = np.random.default_rng(1).integers(0, 255, (10, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(10, dtype=np.int32)
    parts = [(images[a:b], labels[a:b]) for a, b in ((0, BATCH), (BATCH, 2 * BATCH), (2 * BATCH, 10))]
    score, answers = engine.examine(iter(parts), BATCH)
    expected = engine.network(images.astype(np.float32) / 255, training=False).numpy()
    order = np.argsort(-expected, axis=1)[:, :5]
    assert np.array_equal(answers.labels, labels)
    assert np.allclose(answers.probabilities, np.take_along_axis(expected, order, axis=1), atol=1e-5)
    assert score.accuracy == answers.right.mean()
    assert score == engine.evaluate(iter(parts), BATCH)


def test_a_later_step_leaves_the_copy_alone(engine: Engine) -> None:
    arrays = engine.arrays()
    before = contents(arrays)
    engine.train_step(IMAGES, LABELS, 1e-3)
    assert contents(arrays) == before
    later = contents(engine.arrays())
    assert later["sums/train"] != before["sums/train"]
    changed = [name for name in before if later[name] != before[name]]
    assert any("conv_1/kernel" in name for name in changed)
    assert any("seed_generator" in name for name in changed)
    assert any("iteration" in name for name in changed)


def test_writing_into_the_copy_leaves_the_network_alone(engine: Engine) -> None:
    before = contents(engine.arrays())
    for array in engine.arrays().values():
        array.fill(7)
    assert contents(engine.arrays()) == before


def test_a_copy_loaded_elsewhere_goes_on_with_the_same_bits(pair: Pair) -> None:
    assert contents(pair.other.arrays()) != contents(pair.one.arrays())
    pair.other.load(pair.one.arrays())
    for engine in (pair.one, pair.other):
        engine.train_step(IMAGES, LABELS, 1e-3)
    assert contents(pair.other.arrays()) == contents(pair.one.arrays())


def test_the_keras_file_holds_the_copy_and_disturbs_no_training(pair: Pair, tmp_path: Path) -> None:
    beside, alone = pair.one, pair.other
    alone.load(beside.arrays())
    files = ModelFiles(spec(beside.network.name), CLASSES)
    for step in range(3):
        for engine in (beside, alone):
            engine.train_step(IMAGES, LABELS, 1e-3)
        files.writer(beside.arrays())(tmp_path / f"{step}.keras")
    assert contents(beside.arrays()) == contents(alone.arrays())
    loaded = keras.models.load_model(tmp_path / "2.keras")
    saved = [v.numpy().tobytes() for v in loaded.weights]  # a Keras file does not contain the seed generators
    assert saved == [v.numpy().tobytes() for v in beside.network.weights]
