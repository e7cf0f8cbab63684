"""`python -m bench.gpu.keras_steps NETWORK MODE SECONDS [--small] [--digest=STEPS]`: Baton's compiled step alone.

MODE: none, augmented, none-each or augmented-each. With `-each` the small inputs of each step are copied separately,
without it the inputs of many steps are copied together. The images are on the device and are selected there. Prints
JSON: images per second of each window, seconds to compile. With --digest it always compiles, takes that many steps, and
prints a digest of the state instead of a speed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from itertools import repeat

import numpy as np

from baton.domain.spec import parse_classifier
from baton.system.cpus import cpus
from bench.gpu.case import chosen
from worker.attempt.protocols import STEPS_AHEAD
from worker.training.environment import configure

IMAGES, WINDOWS, RATE = 4096, 8, 1e-4


def main() -> None:
    """Measure and print."""
    given = _arguments()
    case = chosen(given.network, small=given.small)
    configure(cpus())
    from worker.training.data import Split
    from worker.training.input.source import make_source
    from worker.training.step.engine import Engine

    spec = parse_classifier(case.spec(augmented=given.mode.startswith("augmented")))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (IMAGES, case.size, case.size, 3), dtype=np.uint8)
    split = Split.of(images, random.integers(0, case.classes, IMAGES, dtype=np.int32))
    ahead = 1 if given.mode.endswith("-each") else STEPS_AHEAD
    engine = Engine(spec, case.classes, xla="on" if given.digest else "auto", steps_ahead=ahead)
    batches = engine.ahead(make_source(spec, engine, split, 0, 10**9, 0).batches(0), repeat(RATE))

    def run(steps: int) -> float:
        begun = time.perf_counter()
        for _, batch in zip(range(steps), batches, strict=False):
            engine.train_step(batch.images, batch.labels, RATE, batch.change, batch.records)
        engine.wait()
        return time.perf_counter() - begun

    compiled = run(1)
    if given.digest:
        run(given.digest - 1)
        state = b"".join(array.tobytes() for array in engine.arrays().values())
        print(json.dumps({"digest": hashlib.sha256(state).hexdigest(), "compile": compiled}))
        return
    run(3)
    steps = max(2, int(given.seconds / WINDOWS / (run(3) / 3)))
    rates = [case.batch * steps / run(steps) for _ in range(WINDOWS)]
    print(json.dumps({"rates": rates, "compile": compiled}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.keras_steps")
    parser.add_argument("network")
    parser.add_argument("mode", choices=("none", "none-each", "augmented", "augmented-each"))
    parser.add_argument("seconds", type=float)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--digest", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
