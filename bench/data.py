"""`make bench-data`: images per second and core: decoded, cached, served and augmented.

All ways of augmentation take turns on the same images, so that other programs on the machine affect all of them
equally. A ratio compares rates of the same turn. Rates are by processor time of one thread, unless the row says
otherwise.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from baton.domain.spec import DatasetSpec
from baton.system.cpus import cpus
from bench.figures import Spread, heading, table
from worker.training.augmentation.paper_policies import POLICIES
from worker.training.data import Split, load_images
from worker.training.data.sources import list_images
from worker.training.input.host_source import BatchSource

SIZE, BATCH, BATCHES = 64, 128, 8
PASSES = 5
BASELINE = "imgaug called directly on whole batches"
COLUMNS = ("images/s", "error", "ratio", "error", "turns")
Job = Callable[[], object]


@dataclass
class Way:
    """One way to process images: the timed call, its number of images, its clock, and the measured rates."""

    name: str
    job: Job
    images: int
    clock: Callable[[], float] = time.process_time
    rates: list[float] = field(default_factory=list)

    def turn(self) -> None:
        """Once, timed."""
        begun = self.clock()
        self.job()
        self.rates.append(self.images / (self.clock() - begun))


def main() -> None:
    """Measures and prints."""
    arguments = _arguments()
    import cv2

    # One thread each, as in the helper processes.
    cv2.setNumThreads(1)
    heading(f"data: {arguments.path or 'synthetic JPEGs'}, {SIZE} px, batches of {BATCH}")
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
        spec = _dataset(arguments, Path(folder))
        split = _print_loading(spec, Path(folder))
        for policy in POLICIES:
            _print_augmenting(policy, split, arguments.rounds)
    print("ratio: to the baseline, turn by turn. By the clock: valid only if no other program runs.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.data", description="Images per second through the pipeline.")
    parser.add_argument("--path", type=Path, help="a directory of Tiny ImageNet; default: generated JPEGs")
    parser.add_argument("--images", type=int, default=4000, help="how many (4,000), at least 400")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each way to augment (9)")
    return parser.parse_args()


def _dataset(arguments: argparse.Namespace, folder: Path) -> DatasetSpec:
    if arguments.path is not None:
        each = max(2, arguments.images // 200)
        return DatasetSpec(name="tiny-imagenet-200", path=str(arguments.path.resolve()), per_class=each)
    for k in range(max(400, arguments.images)):
        file = folder / "images" / f"class-{k % 4}" / f"{k:06}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        _picture(k).save(file, quality=90)
    return DatasetSpec(name="image-folder", path=str(folder / "images"))


def _picture(seed: int) -> Image.Image:
    """An image of shapes and noise. Its file is about as large as a photograph of these dimensions."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((SIZE, SIZE))
    grain = rng.normal(0, 12, (SIZE, SIZE, 1))
    return Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8))


# --- decoded, cached, served ---


def _print_loading(spec: DatasetSpec, folder: Path) -> Split:
    listing, caches = list_images(spec), (folder / f"cache-{k}" for k in count())
    n = len(listing.labels)
    split = load_images(spec, size=SIZE, cache=folder / "cache", seed=0).train
    served = n // BATCH * BATCH

    def decode() -> None:
        for k in range(n):
            listing.read(k)

    def read_back() -> None:
        load_images(spec, size=SIZE, cache=folder / "cache", seed=0).train.images.sum(dtype=np.uint64)

    ways = [
        Way("decoded, one thread", decode, n),
        Way("decoded and cached, all cores, by the clock", _build(spec, caches), n, time.monotonic),
        Way("read back from the cache, by the clock", read_back, n, time.monotonic),
        Way("served: batches without augmentation", _baton(split, "none", served // BATCH), served),
    ]
    _turns(ways, PASSES)
    rows = [(way.name, *_rate(way.rates)) for way in ways]
    table((f"{n:,} images", "images/s", "error", "turns"), rows)
    return split


def _build(spec: DatasetSpec, caches: Iterator[Path]) -> Job:
    return lambda: load_images(spec, size=SIZE, cache=next(caches), seed=0)


# --- augmented ---


def _print_augmenting(policy: str, split: Split, rounds: int) -> None:
    helpers = cpus()
    n = BATCH * BATCHES
    images = [split.take(np.arange(k, k + BATCH) % len(split)) for k in range(0, n, BATCH)]
    ways = [
        Way(BASELINE, _whole_batches(policy, images), n),
        Way("Baton's pipeline, no helper", _baton(split, policy, BATCHES), n),
        Way("imgaug called image by image", _single_images(policy, images), n),
        Way("Keras's ImageDataGenerator, imgaug image by image", _generator(policy, images), n),
    ]
    place: dict[str, Any] = {"seed": 0, "stage": 0, "batch_size": BATCH, "steps_per_epoch": 4 * BATCHES}
    with BatchSource(split, policy=policy, processes=helpers, **place) as source:
        name = f"Baton's pipeline, helpers, by the clock, each of {helpers} cores"
        epochs = count()
        ways.append(Way(name, lambda: list(source.batches(next(epochs))), 4 * n // helpers, time.monotonic))
        _turns(ways, rounds)
    print(f"baseline: {BASELINE}")
    table((policy, *COLUMNS), [_against(way, ways[0]) for way in ways])


def _baton(split: Split, policy: str, steps: int) -> Job:
    source = BatchSource(split, policy=policy, seed=0, stage=0, batch_size=BATCH, steps_per_epoch=steps, processes=0)
    epochs = count()
    return lambda: [batch.images for batch in source.batches(next(epochs))]


def _whole_batches(policy: str, images: list[NDArray[np.uint8]]) -> Job:
    augmenter = _directly(policy)
    return lambda: [augmenter.augment_images(batch) for batch in images]


def _single_images(policy: str, images: list[NDArray[np.uint8]]) -> Job:
    augmenter = _directly(policy)
    return lambda: [np.stack([augmenter.augment_image(image) for image in batch]) for batch in images]


def _generator(policy: str, images: list[NDArray[np.uint8]]) -> Job:
    """The input pipeline of the published notebooks. It rescales the images, because Keras's generator does so."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    augmenter = _directly(policy)

    def preprocess(image: NDArray[np.float32]) -> NDArray[np.float32]:
        augmented: NDArray[np.uint8] = augmenter.augment_image(image.astype(np.uint8))
        return augmented.astype(np.float32)

    generator = ImageDataGenerator(rescale=1 / 255, preprocessing_function=preprocess)
    flow = generator.flow(np.concatenate(images), batch_size=BATCH, shuffle=True, seed=0)
    return lambda: [next(flow) for _ in images]


def _directly(policy: str) -> Any:
    """imgaug's augmenter, without Baton's code around it."""
    from worker.training.augmentation.imgaug_builder import build

    augmenter = build(POLICIES[policy])
    augmenter.seed_(0)
    return augmenter


# --- turns and rows ---


def _turns(ways: list[Way], rounds: int) -> None:
    """Run each way once as a warm-up, then all in turn."""
    for way in ways:
        way.job()
    for _ in range(rounds):
        for way in ways:
            way.turn()


def _rate(rates: list[float]) -> tuple[str, ...]:
    spread = Spread.of(rates)
    return (f"{spread.median:,.0f}", f"{spread.error:,.0f}", str(spread.n))


def _against(way: Way, baseline: Way) -> tuple[str, ...]:
    ratio = Spread.of([mine / its for mine, its in zip(way.rates, baseline.rates, strict=True)])
    rate, error, turns = _rate(way.rates)
    return (way.name, rate, error, f"{ratio.median:.2f}", f"{ratio.error:.2f}", turns)


if __name__ == "__main__":
    main()
