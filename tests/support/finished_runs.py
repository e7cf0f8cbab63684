"""Compares two finished runs of a program with an adapter, to the bit.

A program writes into its folder: `final.npz` (all arrays), `final.json` (its history), `rows.csv` if it likes, and its
run without a worker in `run`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FILES = ("final.json", "rows.csv", "run/history.csv", "run/series.csv")


def differences(one: Path, two: Path) -> list[str]:
    """The names of what differs: arrays, and whole files."""
    with np.load(one / "final.npz") as first, np.load(two / "final.npz") as second:
        found = [f"variable {name}" for name in sorted({*first.files} ^ {*second.files})]
        found += [f"variable {name}" for name in first.files if name in second.files and not _same(first, second, name)]
    return found + [name for name in FILES if _content(one / name) != _content(two / name)]


def _same(first: Any, second: Any, name: str) -> bool:
    return bool(first[name].tobytes() == second[name].tobytes() and first[name].dtype == second[name].dtype)


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None
