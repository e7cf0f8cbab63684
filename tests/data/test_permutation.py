"""The keyed order: a permutation, the same for ever, random by statistics, and without memory."""

from __future__ import annotations

import itertools
import tracemalloc
from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from baton.data import permutation
from baton.data.permutation import LARGEST, PART, SMALL, Permutation

SIZE = 69_997
"""Little above a power of two: almost half of the domain is outside, and the halves of the network are unequal."""
SEEDS = 12
BINS = 64


def order(size: int, seed: int = 1, epoch: int = 0) -> NDArray[np.int64]:
    return Permutation(size, seed=seed, epoch=epoch).part(0, size)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, SMALL - 1, SMALL, SMALL + 1, SIZE, 2**17, 2**17 + 1])
def test_each_index_comes_once(size: int) -> None:
    assert np.array_equal(np.sort(order(size)), np.arange(size))


def test_the_orders_never_change() -> None:
    # A job continues with them under a later version of Baton, on another machine.
    assert order(7, seed=3, epoch=2).tolist() == [6, 0, 4, 1, 5, 2, 3]
    assert Permutation(10**9, seed=-5, epoch=1).part(10**9 - 3, 10**9).tolist() == [723569200, 976559335, 810766937]
    assert Permutation(LARGEST, seed=2**70, epoch=9).part(0, 2).tolist() == [1903085902103560068, 4460430789182033401]


def test_a_part_does_not_depend_on_what_was_asked_before() -> None:
    whole, asked = order(3 * PART + 5 + SMALL), Permutation(3 * PART + 5 + SMALL, seed=1, epoch=0)
    random = np.random.default_rng(0)
    for first in random.integers(0, len(whole) - 300, size=40):
        stop = first + random.integers(0, 300)
        assert np.array_equal(asked.part(int(first), int(stop)), whole[first:stop])
    assert np.array_equal(asked.part(10, 2 * PART), whole[10 : 2 * PART])
    assert asked.part(len(whole), len(whole)).tolist() == []


@pytest.mark.parametrize("size", [10**9, 10**12, LARGEST])
def test_a_billion_samples_need_no_memory(size: int) -> None:
    tracemalloc.start()
    try:
        asked = Permutation(size, seed=1, epoch=0)
        found = [asked.part(first, first + 100) for first in (0, size // 2, size - 100, 0)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20
    drawn = np.concatenate(found[:3])
    assert len(set(drawn.tolist())) == 300
    assert 0 <= drawn.min() < size / 10 < size * 0.9 < drawn.max() < size
    assert np.array_equal(found[0], found[3])


def test_all_orders_of_few_samples_are_equally_likely() -> None:
    found = Counter(tuple(order(5, seed).tolist()) for seed in range(12_000))
    assert stats.chisquare([found[one] for one in itertools.permutations(range(5))]).pvalue > 1e-4


def p_values(size: int) -> dict[str, list[float]]:
    """Of each statistic one for each seed: where orders are random, they are uniform from 0 to 1."""
    found: dict[str, list[float]] = {}

    def add(name: str, table: NDArray[Any], freedom: int) -> None:
        expected = table.sum() / table.size
        found.setdefault(name, []).append(float(stats.chi2.sf(((table - expected) ** 2 / expected).sum(), freedom)))

    def grid(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        return np.histogram2d(a, b, bins=BINS, range=[[0, size], [0, size]])[0]

    for seed in range(SEEDS):
        one, next_epoch, next_seed = order(size, seed), order(size, seed, 1), order(size, seed + 1)
        freedom = (BINS - 1) ** 2
        add("position and index", grid(np.arange(size), one), freedom)
        add("two epochs", grid(one, next_epoch), freedom)
        # Seeds that follow each other must not repeat an epoch of each other.
        add("two seeds", grid(next_epoch, next_seed), freedom)
        for lag in (1, 2, 16, 256):
            steps = np.histogram((one[lag:] - one[:-lag]) % size, bins=BINS, range=(0, size))[0]
            add(f"neighbours at {lag}", steps, BINS - 1)
        for bit in (0, 7, 15):
            low = np.arange(size - 2**bit)
            low = low[(low >> bit) & 1 == 0]
            add(f"bit {bit} flipped", np.bincount((one[low] ^ one[low + 2**bit]) & 255, minlength=256), 255)
    return found


def fixed_points(size: int) -> int:
    return sum(int((order(size, seed) == np.arange(size)).sum()) for seed in range(SEEDS))


@pytest.mark.parametrize("size", [SMALL - 3, SIZE, 2**17])
def test_statistics_see_no_difference_from_random_orders(size: int) -> None:
    for name, values in p_values(size).items():
        assert stats.kstest(values, "uniform").pvalue > 1e-4, name
        assert min(values) > 1e-6, name
    # A random order has one on average, whatever its size.
    assert 1e-4 < stats.poisson.cdf(fixed_points(size), SEEDS) < 1 - 1e-4


def test_the_statistics_see_a_network_with_too_few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permutation, "ROUNDS", 3)
    assert min(min(values) for values in p_values(SIZE).values()) < 1e-6
