"""`python -m bench.stepper NETWORK on|off`: reads numbers from standard input and takes that many steps for each.

For each number it prints the seconds by the clock and of processor time.
"""

from __future__ import annotations

import sys

import numpy as np

from baton.domain.spec import parse_classifier
from baton.system.cpus import cpus
from bench.jobs import BATCH_SIZE, IMAGE_SIZE, job
from bench.windows import Mark
from worker.training.environment import configure

CLASSES = 10


def main() -> None:
    """Reads numbers until the end of the input."""
    configure(cpus())
    from worker.training.step.engine import Engine

    network, mode = sys.argv[1:]
    engine = Engine(parse_classifier(job(network, deterministic=mode == "on")), CLASSES)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (BATCH_SIZE, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    labels = random.integers(0, CLASSES, BATCH_SIZE, dtype=np.int32)
    for line in sys.stdin:
        begun = Mark.now()
        for _ in range(int(line)):
            engine.train_step(images, labels, 1e-4)
        ended = Mark.now()
        print(ended.clock - begun.clock, ended.cpu - begun.cpu, flush=True)


if __name__ == "__main__":
    main()
