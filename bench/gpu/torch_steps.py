"""`python -m bench.gpu.torch_steps NETWORK none SECONDS [--small]`: the baseline, torch.compile, channels last.

The images are on the device and are selected there. Prints JSON: images per second of each window, seconds to compile.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Any

import torch
from torch.nn import functional

from bench.gpu.case import Case, chosen
from bench.gpu.keras_steps import IMAGES, WINDOWS
from bench.gpu.torch_networks import groups, make

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def make_step(case: Case) -> Any:
    """One update of all variables on a new random batch."""
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    network = make(case.network, case.classes, case.width).to(DEVICE, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(groups(network, case.network), lr=1e-4, eps=1e-8, fused=True)
    images = torch.randint(0, 256, (IMAGES, case.size, case.size, 3), dtype=torch.uint8, device=DEVICE)
    labels = torch.randint(0, case.classes, (IMAGES,), device=DEVICE)
    lower = case.precision == "bfloat16"
    compute = torch.autocast(DEVICE, dtype=torch.bfloat16) if lower else contextlib.nullcontext()

    def of(rows: Any) -> Any:
        x = images[rows].permute(0, 3, 1, 2).float().div(255)
        return functional.cross_entropy(network(x).float(), labels[rows])

    loss_of = torch.compile(of, mode="max-autotune-no-cudagraphs" if DEVICE == "cuda" else "default")

    def step() -> None:
        with compute:
            loss = loss_of(torch.randint(0, IMAGES, (case.batch,), device=DEVICE))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def _wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure and print."""
    case, seconds = chosen(sys.argv[1], small="--small" in sys.argv), float(sys.argv[3])
    step = make_step(case)

    def run(steps: int) -> float:
        begun = time.perf_counter()
        for _ in range(steps):
            step()
        _wait()
        return time.perf_counter() - begun

    compiled = run(1)
    run(3)
    steps = max(2, int(seconds / WINDOWS / (run(3) / 3)))
    rates = [case.batch * steps / run(steps) for _ in range(WINDOWS)]
    print(json.dumps({"rates": rates, "compile": compiled}))


if __name__ == "__main__":
    main()
