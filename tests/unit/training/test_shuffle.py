"""The order of the images is a pure function.

Each pass has every image once, and passes continue across epochs and batches.
"""

import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.training.input.shuffle import batch_indices, batch_seed, device_seed


def _stream(epochs: int, *, batch_size: int, steps: int, size: int, seed: int = 5, stage: int = 0) -> np.ndarray:
    place = {"seed": seed, "stage": stage, "batch_size": batch_size, "steps_per_epoch": steps, "size": size}
    return np.concatenate([batch_indices(epoch=e, batch=b, **place) for e, b in product(range(epochs), range(steps))])


@settings(deadline=None)
@given(size=st.integers(1, 30), batch_size=st.integers(1, 70), steps=st.integers(1, 5), epochs=st.integers(1, 4))
def test_every_image_comes_once_a_pass(size: int, batch_size: int, steps: int, epochs: int) -> None:
    stream = _stream(epochs, batch_size=batch_size, steps=steps, size=size)
    assert (len(stream), stream.dtype) == (epochs * steps * batch_size, np.int64)
    for start in range(0, len(stream) - size + 1, size):
        assert sorted(stream[start : start + size]) == list(range(size))


def test_short_epochs_go_on_through_the_order_as_one_long_epoch() -> None:
    short = _stream(6, batch_size=4, steps=2, size=25)
    long = _stream(1, batch_size=4, steps=12, size=25)
    np.testing.assert_array_equal(short, long)


@pytest.mark.parametrize(
    ("batch_size", "steps", "size"),
    [(64, 200, 100_000), (128, 781, 100_000), (128, 782, 100_000), (256, 312, 80_000)],
)
def test_epochs_of_the_published_plans_go_on_where_the_last_one_ended(batch_size: int, steps: int, size: int) -> None:
    """200 batches of 64 are an eighth of the images, and 782 batches of 128 are 96 images more than one pass.

    Neither epoch starts a new pass.
    """
    place = {"seed": 101, "stage": 0, "batch_size": batch_size, "steps_per_epoch": steps, "size": size}
    first, last = (batch_indices(epoch=0, batch=b, **place) for b in (0, steps - 1))
    next_one = batch_indices(epoch=1, batch=0, **place)
    whole = _stream(1, batch_size=steps * batch_size, steps=2, size=size, seed=101)
    np.testing.assert_array_equal(whole[:batch_size], first)
    np.testing.assert_array_equal(whole[(steps - 1) * batch_size : steps * batch_size], last)
    np.testing.assert_array_equal(whole[steps * batch_size : (steps + 1) * batch_size], next_one)
    assert len(set(whole[:size])) == min(size, len(whole))


def test_a_batch_crosses_the_border_of_two_passes() -> None:
    stream = _stream(1, batch_size=4, steps=5, size=10)
    assert sorted(stream[:10]) == sorted(stream[10:]) == list(range(10))
    assert list(stream[:10]) != list(stream[10:])


def test_a_batch_larger_than_the_data_set_takes_several_passes() -> None:
    indices = batch_indices(seed=1, stage=0, epoch=0, batch=0, batch_size=25, steps_per_epoch=1, size=10)
    assert np.bincount(indices, minlength=10).min() == 2
    assert np.bincount(indices, minlength=10).max() == 3


def test_seed_and_stage_give_other_orders() -> None:
    orders = {tuple(_stream(1, batch_size=50, steps=1, size=50, seed=s, stage=k)) for s in (1, 2) for k in (0, 1)}
    assert len(orders) == 4


@pytest.mark.process
def test_equal_in_another_process_and_for_ever() -> None:
    """The values are written down, because the next release must continue a checkpoint with the same order."""
    code = (
        "from worker.training.input.shuffle import *;"
        "print(batch_indices(seed=101, stage=2, epoch=3, batch=1, batch_size=6, steps_per_epoch=4, size=9).tolist(),"
        "batch_seed(101, 2, 3, 1), device_seed(101, 2, 3, 1).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = batch_indices(seed=101, stage=2, epoch=3, batch=1, batch_size=6, steps_per_epoch=4, size=9).tolist()
    seeds = f"{batch_seed(101, 2, 3, 1)} {device_seed(101, 2, 3, 1).tolist()}"
    assert done.stdout.strip() == f"{ours} {seeds}" == "[8, 2, 3, 6, 0, 2] 356947330 [-48097756, 1848437611]"


def test_what_comes_out_cannot_spoil_what_is_kept() -> None:
    place = {"seed": 1, "stage": 0, "epoch": 0, "batch": 0, "batch_size": 8, "steps_per_epoch": 1, "size": 8}
    first = batch_indices(**place)
    expected = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(batch_indices(**place), expected)


def test_batch_seeds_differ_and_fit_31_bits() -> None:
    places = list(product((0, 7, 2**31 - 1), (0, 1), (0, 1, 400), (0, 1, 2)))
    seeds = [batch_seed(*place) for place in places]
    assert len(set(seeds)) == len(places)
    assert all(0 <= s < 2**31 for s in seeds)


def test_the_seeds_of_the_device_differ_too_and_are_others() -> None:
    places = list(product((0, 7, 2**31 - 1), (0, 1), (0, 1, 400), (0, 1, 2)))
    seeds = [device_seed(*place) for place in places]
    assert {(s.dtype, s.shape) for s in seeds} == {(np.dtype(np.int32), (2,))}
    for half in (0, 1):
        assert len({int(s[half]) for s in seeds} | {batch_seed(*place) for place in places}) == 2 * len(places)


def test_no_images_is_an_error() -> None:
    with pytest.raises(ValueError, match="no images"):
        batch_indices(seed=1, stage=0, epoch=0, batch=0, batch_size=1, steps_per_epoch=1, size=0)
