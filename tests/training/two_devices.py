"""`python -m tests.training.two_devices`: trains on two virtual devices and prints the results as JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import tensorflow as tf

from baton.domain.errors import JobFailure
from baton.domain.spec import JobSpec, parse_spec
from worker.checkpointing.snapshot import Arrays
from worker.training.data import Split
from worker.training.input.source import make_source
from worker.training.step.engine import Engine
from worker.training.step.inputs import Change
from worker.training.step.replicas import Replicas

DEVICES = ("CPU:0", "CPU:1")
CLASSES, BATCH, STEPS = 4, 8, 4
AUGMENTED = [{"name": "fliplr", "p": 0.5}, {"name": "additive_gaussian_noise", "scale": 10}]


def spec(batch: int = BATCH, *, augmented: bool = True) -> JobSpec:
    """A network with dropout whose steps augment their own images."""
    stage = {"image_size": 8, "batch_size": batch, "epochs": 1, "augmentation": AUGMENTED if augmented else "none"}
    network = {"name": "tiny-cnn", "width": 0.2, "dropout": 0.2 if augmented else 0.0}
    return parse_spec(
        {
            "name": "two",
            "network": network,
            "dataset": {"name": "digits"},
            "augmentation_engine": "device",
            "optimizer": {"name": "sgd"},
            "stages": [stage],
        }
    )


def split(alike: bool = False) -> Split:
    """Random images, or the same image repeated."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (32, 8, 8, 3), dtype=np.uint8)
    labels = random.integers(0, CLASSES, 32, dtype=np.int32)
    return Split.of(np.repeat(images[:1], 32, axis=0), np.zeros(32, np.int32)) if alike else Split.of(images, labels)


def train(engine: Engine, job: JobSpec, data: Split, first: int, last: int) -> None:
    """Train the steps from `first` to `last - 1`."""
    source = make_source(job, engine, data, 0, STEPS, 0)
    for _, batch in zip(range(first, last), source.batches(0, first), strict=False):
        engine.train_step(batch.images, batch.labels, 0.1, batch.change)


def digest(arrays: Arrays) -> str:
    """The hash of all bytes."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest()


def resumed() -> Arrays:
    """The arrays after a run whose halves were trained by two engines."""
    first, second = Engine(spec(), CLASSES, devices=DEVICES), Engine(spec(), CLASSES, devices=DEVICES)
    train(first, spec(), split(), 0, STEPS // 2)
    second.load(first.arrays())
    train(second, spec(), split(), STEPS // 2, STEPS)
    return second.arrays()


def unequal(engine: Engine) -> list[str]:
    """The paths of the variables that differ between devices."""
    held = [(v.path, [np.asarray(one) for one in v.value.values]) for v in engine.network.variables]
    return [path for path, (one, other) in held if one.tobytes() != other.tobytes()]


def kernel(devices: tuple[str, ...]) -> list[float]:
    """The first kernel after one step on equal images."""
    job, engine = spec(augmented=False), Engine(spec(augmented=False), CLASSES, devices=devices)
    train(engine, job, split(alike=True), 0, 1)
    return [float(x) for x in next(iter(engine.arrays().values())).ravel()]


def uneven() -> str:
    """The error for a batch size that two devices cannot share."""
    job = spec(batch=5)
    try:
        make_source(job, Engine(job, CLASSES, devices=DEVICES), split(), 0, STEPS, 0)
    except JobFailure as failure:
        return str(failure)
    return ""


def main() -> None:
    """Train, and print the results."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * len(DEVICES))
    whole = Engine(spec(), CLASSES, devices=DEVICES)
    train(whole, spec(), split(), 0, STEPS)
    change = Change("paper-1", np.array([1, 2], np.int32))
    shares = Replicas(DEVICES).shares(np.zeros((2, 8, 8, 3), np.uint8), np.zeros(2, np.int32), change)
    found: dict[str, Any] = {
        "whole": digest(whole.arrays()),
        "resumed": digest(resumed()),
        "unequal": unequal(whole),
        "one_device": kernel(DEVICES[:1]),
        "two_devices": kernel(DEVICES),
        "images": float(whole.arrays()["sums/train"][2]),
        "steps": STEPS,
        "batch": BATCH,
        "seeds": [[int(n) for n in share.change.seed] for share in shares if share.change],
        "uneven": uneven(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
