"""`make bench-batches`: what `baton.data.batches` costs a training loop, beside a loop without it in the same run.

Each pass is an epoch. The kinds of loops take turns, and each number is the median over the rounds. The ratio is the
median of the ratios within the rounds: time of this loop by time of the plain one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import baton.data
from baton.data.permutation import Permutation
from bench.figures import heading, table

IMAGES, BATCH, EDGE = 8192, 64, 32
SLOW = 512
ROUNDS = 9


class Listed:
    """A map-style data set of small images."""

    def __init__(self, images: NDArray[np.float32]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], int]:
        return self.images[index], index


def turned(sample: Any, rng: np.random.Generator) -> Any:
    """An augmentation of about 1 ms in Python and NumPy: noise, and sorting, which releases no lock."""
    image = sample[0] + rng.normal(size=sample[0].shape).astype(np.float32)
    return image, sorted(image.ravel().tolist())[0]


def plain_arrays(x: NDArray[Any], y: NDArray[Any]) -> Iterator[Any]:
    """What a program without Baton does: a permutation, and its rows."""
    order = np.random.default_rng(0).permutation(len(x))
    for first in range(0, len(x), BATCH):
        rows = order[first : first + BATCH]
        yield x[rows], y[rows]


def plain_listed(data: Listed) -> Iterator[Any]:
    """The same for a data set."""
    order = np.random.default_rng(0).permutation(len(data))
    for first in range(0, len(data), BATCH):
        samples = [data[int(index)] for index in order[first : first + BATCH]]
        yield np.stack([image for image, _ in samples]), np.array([label for _, label in samples])


def plain_slow(data: Listed) -> Iterator[Any]:
    """The same with the augmentation."""
    random = np.random.default_rng(1)
    for first in range(0, len(data), BATCH):
        samples = [turned(data[index], random) for index in range(first, first + BATCH)]
        yield np.stack([image for image, _ in samples]), np.array([label for _, label in samples])


@dataclass(frozen=True)
class Loop:
    """A way to get an epoch of batches; `plain`: the name of the loop that it is compared with."""

    name: str
    plain: str
    epoch: Callable[[int], Iterator[Any]]


def measured(loops: list[Loop], rounds: int) -> dict[str, list[float]]:
    """Seconds of an epoch of each loop, by rounds."""
    found: dict[str, list[float]] = {one.name: [] for one in loops}
    for number in range(-1, rounds):
        for one in loops if number % 2 else loops[::-1]:
            begun = time.perf_counter()
            count = sum(1 for _ in one.epoch(number + 1))
            seconds = (time.perf_counter() - begun) / count
            if number >= 0:  # the first pass warms up, and starts processes
                found[one.name].append(seconds)
    return found


def show(title: str, loops: list[Loop], rounds: int) -> None:
    """Measure the loops and print them."""
    heading(title)
    found = measured(loops, rounds)
    rows = []
    for one in loops:
        ratios = [a / b for a, b in zip(found[one.name], found[one.plain], strict=True)]
        rows.append((one.name, f"{1e6 * float(np.median(found[one.name])):.0f}", f"{float(np.median(ratios)):.2f}"))
    table(("", "µs a batch", "ratio"), rows)


def orders(rounds: int) -> None:
    """The time for the order of a batch."""
    heading(f"the order of {BATCH} samples")
    rows = []
    for size in (50_000, 10**6, 10**9, 10**12):
        times = []
        for number in range(rounds):
            begun = time.perf_counter()
            order = Permutation(size, seed=number, epoch=0)
            order.part(0, BATCH)
            first = time.perf_counter() - begun
            for at in range(BATCH, min(size, 100 * BATCH), BATCH):
                order.part(at, at + BATCH)
            times.append((first, (time.perf_counter() - begun - first) / 99))
        start, each = (1e6 * float(np.median(values)) for values in zip(*times, strict=True))
        rows.append((f"{size:,} samples", f"{start:.0f}", f"{each:.1f}"))
    table(("", "µs to begin", "µs a batch"), rows)


def main() -> None:
    """Measures and prints all."""
    parser = argparse.ArgumentParser(prog="python -m bench.batches", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"passes of each loop ({ROUNDS})")
    rounds = parser.parse_args().rounds
    x = np.random.default_rng(0).random((IMAGES, EDGE, EDGE, 3), dtype=np.float32)
    y = np.arange(IMAGES)
    orders(rounds)
    arrays = baton.data.batches((x, y), batch_size=BATCH)
    loops = [Loop("plain", "plain", lambda _: plain_arrays(x, y)), Loop("baton", "plain", arrays.epoch)]
    show(f"arrays: {IMAGES} images of {EDGE} x {EDGE}, batches of {BATCH}", loops, rounds)
    listed = baton.data.batches(Listed(x), batch_size=BATCH)
    loops = [Loop("plain", "plain", lambda _: plain_listed(Listed(x))), Loop("baton", "plain", listed.epoch)]
    show("a map-style data set of the same", loops, rounds)
    slow = Listed(x[:SLOW])
    options: dict[str, Any] = {"batch_size": BATCH, "transform": turned}
    with (
        baton.data.batches(slow, **options) as here,
        baton.data.batches(slow, threads=2, **options) as threads,
        baton.data.batches(slow, processes=2, **options) as processes,
    ):
        loops = [
            Loop("plain", "plain", lambda _: plain_slow(slow)),
            Loop("baton", "plain", here.epoch),
            Loop("baton, threads=2", "plain", threads.epoch),
            Loop("baton, processes=2", "plain", processes.epoch),
        ]
        show(f"{SLOW} samples with an augmentation in Python", loops, rounds)


if __name__ == "__main__":
    main()
