"""What deterministic mode costs on this processor: both networks, with and without, in alternating blocks of steps.

The mode cannot be switched off in a process that has it on, so each variant is a process; they take turns.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.figures import Spread, heading, percent, table
from bench.jobs import BATCH_SIZE, IMAGE_SIZE, WIDTHS

ROUNDS, STEPS = 20, 8
MODES = ("off", "on")


class Variant:
    """A process that takes steps when told to."""

    def __init__(self, network: str, mode: str) -> None:
        command = [sys.executable, "-m", "bench.stepper", network, mode]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, steps: int) -> float:
        """Of one step, the mean of so many."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(steps, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline()) / steps

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def _variant(network: str, mode: str) -> Iterator[Variant]:
    variant = Variant(network, mode)
    try:
        yield variant
    finally:
        variant.close()


def measure(network: str) -> dict[str, list[float]]:
    """Seconds of a step for each mode, one value for each round."""
    with ExitStack() as stack:
        variants = {mode: stack.enter_context(_variant(network, mode)) for mode in MODES}
        for variant in variants.values():
            variant.seconds(STEPS)  # compiles
        found: dict[str, list[float]] = {mode: [] for mode in MODES}
        for number in range(ROUNDS):
            for mode in random.Random(number).sample(MODES, len(MODES)):
                found[mode].append(variants[mode].seconds(STEPS))
        return found


def main() -> None:
    """Measures and prints."""
    heading(f"deterministic mode, {IMAGE_SIZE} px, batch {BATCH_SIZE}: {ROUNDS} rounds of {STEPS} steps each")
    rows = []
    for network, width in WIDTHS.items():
        found = measure(network)
        off, on = (Spread.of(found[mode]) for mode in MODES)
        ratio = Spread.of([b / a for a, b in zip(found["off"], found["on"], strict=True)])
        cells = [f"{1000 * off.median:.1f}", f"{1000 * on.median:.1f}", f"{ratio.median:.3f}", f"{ratio.error:.3f}"]
        rows.append((f"{network}, width {width}", *cells, percent((off.high - off.low) / off.median)))
    columns = ("", "off (baseline), ms a step", "on, ms", "ratio on/off", "error", "spread of off (quartiles)")
    table(columns, rows)
    print("ratio: the median of the rounds' own ratios; error: its standard error")


if __name__ == "__main__":
    main()
