"""Notices which tests start processes: a test that does so needs the marker `process`.

`make check` runs the tests without that marker, and promises that they start no process: there the guard fails them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

EVENTS = frozenset({"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.system"})
MARKERS = ("process", "postgres", "browser", "chaos", "docs", "slow")
RECORD = os.environ.get("BATON_TEST_RECORD_PROCESSES")
"""A file that gets the node ids of tests without a marker that start processes. They do not fail then."""


class ProcessGuard:
    """`item`: the running test. `shared`: more than 0 where any test may start a process. `strict`: fails tests."""

    def __init__(self) -> None:
        self.item: pytest.Item | None = None
        self.shared = 0
        self.strict = False

    def hook(self, event: str, _arguments: object) -> None:
        """An audit hook of Python."""
        item = self.item
        if event not in EVENTS or item is None or self.shared or not (self.strict or RECORD):
            return
        if any(item.get_closest_marker(name) for name in MARKERS):
            return
        if not RECORD:
            raise RuntimeError(f"{item.nodeid} starts a process: give it the marker `process`")
        with Path(RECORD).open("a") as file:
            file.write(f"{item.nodeid}\n")


GUARD = ProcessGuard()


def install(*, strict: bool) -> None:
    """Watches this process from now on."""
    GUARD.strict = strict
    sys.addaudithook(GUARD.hook)


@contextmanager
def watched(item: pytest.Item) -> Iterator[None]:
    """What is started within it belongs to this test."""
    GUARD.item = item
    try:
        yield
    finally:
        GUARD.item = None


@contextmanager
def shared_process() -> Iterator[None]:
    """Within it any test may start a process: one that all tests of a session share, such as Redis."""
    GUARD.shared += 1
    try:
        yield
    finally:
        GUARD.shared -= 1
