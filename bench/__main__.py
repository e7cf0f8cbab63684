"""`python -m bench [NAME ...]`: runs the named benchmarks, or all, in sequence, each in a separate process."""

from __future__ import annotations

import argparse
import subprocess
import sys

BENCHMARKS = ("checkpoint", "determinism", "recovery", "control", "data")


def main() -> int:
    """Runs the benchmarks. Exit status 0 if all completed, even if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure what Baton costs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; default: all")
    names = parser.parse_args().names or BENCHMARKS
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(BENCHMARKS)}")
    codes = [subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode for name in names]
    return max(map(abs, codes))


if __name__ == "__main__":
    sys.exit(main())
