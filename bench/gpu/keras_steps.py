"""`python -m bench.gpu.keras_steps NETWORK none|augmented[-each] SECONDS [--small]`: Baton's compiled step alone.

The images lie on the device and are picked there. `-each`: the small inputs of each step are copied by themselves, and
else those of many steps at once. Prints JSON: images a second of each window, seconds to compile.
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import repeat

import numpy as np

from bench.gpu.case import chosen
from core.domain.spec import parse_spec
from worker.control import STEPS_AHEAD
from worker.training.environment import configure

IMAGES, WINDOWS, RATE = 4096, 8, 1e-4


def main() -> None:
    """Measures and prints."""
    name, mode, seconds = sys.argv[1:4]
    case = chosen(name, small="--small" in sys.argv)
    configure(os.cpu_count() or 1)
    from worker.training.data import Split
    from worker.training.engine import Engine
    from worker.training.feeding import make_source

    spec = parse_spec(case.spec(augmented=mode.startswith("augmented")))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (IMAGES, case.size, case.size, 3), dtype=np.uint8)
    split = Split.of(images, random.integers(0, case.classes, IMAGES, dtype=np.int32))
    engine = Engine(spec, case.classes, steps_ahead=1 if mode.endswith("-each") else STEPS_AHEAD)
    batches = engine.ahead(make_source(spec, engine, split, 0, 10**9, 0).batches(0), repeat(RATE))

    def run(steps: int) -> float:
        begun = time.perf_counter()
        for _, batch in zip(range(steps), batches, strict=False):
            engine.train_step(batch.images, batch.labels, RATE, batch.change, batch.records)
        engine.wait()
        return time.perf_counter() - begun

    compiled = run(1)
    run(3)
    steps = max(2, int(float(seconds) / WINDOWS / (run(3) / 3)))
    rates = [case.batch * steps / run(steps) for _ in range(WINDOWS)]
    print(json.dumps({"rates": rates, "compile": compiled}))


if __name__ == "__main__":
    main()
