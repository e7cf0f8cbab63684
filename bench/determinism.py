"""The cost of deterministic mode on this processor: both networks with and without it, in alternating blocks of steps.

A process cannot switch the mode off again, so each variant is a separate process. The processes take turns.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.figures import Spread, heading, table
from bench.jobs import BATCH_SIZE, IMAGE_SIZE, WIDTHS

ROUNDS, STEPS = 20, 8
MODES = ("off", "on")


@dataclass(frozen=True)
class Cost:
    """Seconds of one step: by the clock, and of processor time, which other programs disturb less."""

    clock: float
    cpu: float


class Variant:
    """A process that takes steps on request."""

    def __init__(self, network: str, mode: str) -> None:
        command = [sys.executable, "-m", "bench.stepper", network, mode]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def steps(self, count: int) -> Cost:
        """The mean cost of one step over `count` steps."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(count, file=self._process.stdin, flush=True)
        clock, cpu = map(float, self._process.stdout.readline().split())
        return Cost(clock / count, cpu / count)

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


def measure(network: str) -> dict[str, list[Cost]]:
    """The cost of a step for each mode, one value for each round."""
    with ExitStack() as stack:
        variants = {mode: stack.enter_context(_variant(network, mode)) for mode in MODES}
        for variant in variants.values():
            variant.steps(STEPS)  # compiles
        found: dict[str, list[Cost]] = {mode: [] for mode in MODES}
        for number in range(ROUNDS):
            for mode in random.Random(number).sample(MODES, len(MODES)):
                found[mode].append(variants[mode].steps(STEPS))
        return found


def main() -> None:
    """Measures and prints."""
    heading(f"deterministic mode, {IMAGE_SIZE} px, batch {BATCH_SIZE}: {ROUNDS} rounds of {STEPS} steps each")
    rows = [_row(f"{network}, width {width}", measure(network)) for network, width in WIDTHS.items()]
    columns = (
        "",
        "off (baseline), ms per step",
        "quartiles",
        "on, ms",
        "on/off",
        "error",
        "on/off, processor time",
        "error",
    )
    table(columns, rows)
    print("on/off: the median of the ratios of the rounds; error: its standard error")


def _row(name: str, found: dict[str, list[Cost]]) -> tuple[str, ...]:
    off, on = (Spread.of([cost.clock for cost in found[mode]]) for mode in MODES)
    pairs = list(zip(found["off"], found["on"], strict=True))
    clock, cpu = Spread.of([b.clock / a.clock for a, b in pairs]), Spread.of([b.cpu / a.cpu for a, b in pairs])
    ratios = [f"{value:.3f}" for value in (clock.median, clock.error, cpu.median, cpu.error)]
    quartiles = f"{1000 * off.low:.0f}-{1000 * off.high:.0f}"
    return (name, f"{1000 * off.median:.1f}", quartiles, f"{1000 * on.median:.1f}", *ratios)


if __name__ == "__main__":
    main()
