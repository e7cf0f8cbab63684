"""The small inputs of steps are exactly the same, copied one by one or many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
import tensorflow as tf

from tests.training.two_devices import CLASSES, digest, spec, split
from worker.training.input.source import make_source
from worker.training.state.throughput import Pace
from worker.training.step import uploads
from worker.training.step.batch import Batch
from worker.training.step.engine import Engine
from worker.training.step.inputs import Change, Rows, Share
from worker.training.step.records import labels_of, picked_by, rate_of, record, seed_of
from worker.training.step.replicas import Replicas
from worker.training.step.uploads import Uploads

STEPS = 7
HELD = (tf.constant(np.arange(10, dtype=np.uint8)),)
# The bits of unusual floats: signalling NaNs, infinity, subnormal numbers.
WORDS = np.array([0x7F80_0001, -0x7F_FFFF, 0x7F80_0000, 1, 0, -1], np.int32)


@pytest.mark.parametrize("xla", [False, True])
def test_a_record_gives_back_what_it_was_made_of(xla: bool) -> None:
    rows = np.array([9, 0, 3, 3, 1, 8], np.int32)
    made = record(Share(Rows(HELD, rows), WORDS, Change("none", WORDS[:2])), 1e-3)
    opened = tf.function(
        lambda r, images: (rate_of(r), seed_of(r), labels_of(r, len(rows)), picked_by(r, images)), jit_compile=xla
    )
    rate, seed, labels, picked = opened(tf.unstack(tf.constant(np.stack([made, made])))[1], HELD[0])
    assert rate.numpy() == np.float32(1e-3)
    assert seed.numpy().tolist() == WORDS[:2].tolist()
    assert labels.numpy().tolist() == WORDS.tolist()
    assert picked.numpy().tolist() == rows.tolist()


def test_images_of_the_host_are_drawn_one_by_one() -> None:
    drawn: list[int] = []

    def batches() -> Iterator[Batch]:
        for k in range(3):
            drawn.append(k)
            yield Batch(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2, np.int32))

    found = Uploads(Replicas(["CPU:0"]), 100, lambda: None).ahead(batches(), count())
    assert next(found).records is None
    assert drawn == [0]


@pytest.mark.parametrize("steps_ahead", [1, 3, 100])
def test_the_bits_do_not_depend_on_how_many_steps_are_copied_at_once(
    steps_ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = trained(None, monkeypatch)
    found, copies = trained(steps_ahead, monkeypatch)
    assert found == expected
    assert copies == {1: STEPS, 3: 3, 100: 1}[steps_ahead]


def trained(steps_ahead: int | None, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """The digest after some steps with changing rates, and the number of copies to the device."""
    copied: list[int] = []
    engine = Engine(spec(), CLASSES, devices=["CPU:0"], steps_ahead=steps_ahead or 1)
    given = make_source(spec(), engine, split(), 0, STEPS, 0).batches(0)
    batches = engine.ahead(given, (0.1 / (k + 1) for k in count())) if steps_ahead else given
    with monkeypatch.context() as patch:
        for name in ("_copy", "_split"):
            patch.setattr(uploads, name, _counted(getattr(uploads, name), copied))
        for k, batch in enumerate(batches):
            assert (batch.records is None) == (steps_ahead in (None, 1))
            engine.train_step(batch.images, batch.labels, 0.1 / (k + 1), batch.change, batch.records)
    return digest(engine.arrays()), len(copied)


def _counted(inner: object, copied: list[int]) -> object:
    def call(*given: object) -> object:
        copied.append(1)
        return inner(*given)  # type: ignore[operator]

    return call


def test_a_device_never_has_much_left_to_do() -> None:
    now = [0.0]
    pace = Pace(1.0, lambda: now[0])
    handed = []
    for _ in range(3):
        steps = 0
        while not pace.full:
            pace.begin()
            steps += 1
        now[0] += 0.25 * steps
        pace.waited()
        handed.append(steps)
    assert handed == [1, 4, 4]
