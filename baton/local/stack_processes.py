"""Finds the processes of a local stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from baton.local.stack import MARK

PROC = Path("/proc")


def processes_of(data: Path) -> list[str]:
    """All running processes with the environment variable of the stack in `data`, as `pid name`. Linux only."""
    wanted = f"{MARK}={data.absolute()}".encode()
    return [f"{pid} {name}" for pid, name, environment in _processes() if wanted in environment.split(b"\0")]


def _processes() -> Iterator[tuple[str, str, bytes]]:
    for entry in PROC.glob("[0-9]*"):
        try:
            # The environment of a zombie is empty, so zombies are not counted.
            yield entry.name, (entry / "comm").read_text().strip(), (entry / "environ").read_bytes()
        except OSError:
            continue
