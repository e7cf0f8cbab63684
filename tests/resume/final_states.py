"""The final state of a job, and the differences between two final states."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, fields
from typing import Any

import h5py
import numpy as np
from safetensors.numpy import load as load_arrays

from baton.domain.manifest import CURSOR, STATE
from baton.domain.wire import CLOCK_COLUMNS
from baton.storage import BlobStore
from tests.support.jobs import Jobs

Bytes = dict[str, tuple[str, tuple[int, ...], bytes]]


class FinalState:
    """Everything that an interrupted run must have in common with an uninterrupted one. Subclasses are dataclasses."""

    def differences(self, other: FinalState) -> list[str]:
        """The differences in words. An empty list means that both are exactly equal."""
        return [
            found
            for field in fields(self)  # type: ignore[arg-type]
            for found in _differences(field.name, getattr(self, field.name), getattr(other, field.name))
        ]


@dataclass(frozen=True)
class Ending(FinalState):
    """The final state of a classifier."""

    status: str
    position: tuple[int, ...]
    arrays: Bytes
    """Variables, optimizer variables, seeds and running sums of the final checkpoint."""
    cursor: dict[str, Any]
    history: list[dict[str, Any]]
    best: dict[str, Any] | None
    results: dict[str, float]
    stages: list[tuple[str, int]]
    best_keras: Bytes
    latest_keras: Bytes
    history_csv: list[list[str]]


def _differences(name: str, one: Any, other: Any) -> list[str]:
    if one == other:
        return []
    if isinstance(one, dict) and isinstance(other, dict):
        odd = [key for key in {**one, **other} if one.get(key) != other.get(key)]
        return [f"{name}: {len(odd)} of {len(one)} differ: {', '.join(odd[:3])}" + _values(one, other, odd)]
    return [f"{name}: {one} is not {other}"]


def _values(one: dict[str, Any], other: dict[str, Any], odd: list[str]) -> str:
    values = one.get(odd[0]), other.get(odd[0])
    return "" if any(isinstance(value, tuple) for value in values) else f": {values[0]} is not {values[1]}"


def ending(jobs: Jobs, job: str, store: BlobStore) -> Ending:
    """The state that the service and the store hold of a job that has ended."""
    view = jobs.show(job)
    latest = next(c for c in jobs.items(job, "checkpoints") if "latest" in c["roles"] and c["state"] == "committed")
    return Ending(
        status=f"{view['status']}: {view['reason']}",
        position=tuple(latest[name] for name in ("stage", "epoch", "step", "global_step")),
        arrays=_bytes(load_arrays(store.get(f"{latest['prefix']}/{STATE}"))),
        cursor=timeless(json.loads(store.get(f"{latest['prefix']}/{CURSOR}"))),
        history=timeless(jobs.items(job, "history")),
        best=view["best"],
        results=view["results"],
        stages=[(stage["state"], stage["epochs_done"]) for stage in jobs.items(job, "stages")],
        best_keras=_weights(jobs.download(job, "best.keras")),
        latest_keras=_weights(jobs.download(job, "latest.keras")),
        history_csv=_rows(jobs.download(job, "history.csv").decode()),
    )


def _bytes(arrays: dict[str, Any]) -> Bytes:
    return {name: (str(a.dtype), tuple(a.shape), np.ascontiguousarray(a).tobytes()) for name, a in arrays.items()}


def timeless(data: Any) -> Any:
    """JSON data without values that differ between runs: clock columns, and prefixes, which contain job and fencing
    token.
    """
    if isinstance(data, dict):
        return {name: timeless(value) for name, value in data.items() if name not in (*CLOCK_COLUMNS, "prefix")}
    return [timeless(value) for value in data] if isinstance(data, list) else data


def _weights(keras_file: bytes) -> Bytes:
    found: dict[str, Any] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with zipfile.ZipFile(io.BytesIO(keras_file)) as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights, "r") as file:
        file.visititems(take)
    return _bytes(found)


def _rows(text: str) -> list[list[str]]:
    lines = [line.split(",") for line in text.splitlines()]
    kept = [k for k, name in enumerate(lines[0]) if name not in CLOCK_COLUMNS]
    return [[line[k] for k in kept] for line in lines]
