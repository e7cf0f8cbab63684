"""Notices which tests start processes or load TensorFlow.

A test that starts a process needs the marker `process`. A test that loads TensorFlow is in a folder that the Makefile
does not name in CHECKED. `make check` runs the other tests, so that it is fast: there the guard fails a test that
breaks the rule.
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
"""The file to which the ids of tests are written that start processes without a marker.

With it the tests do not fail.
"""


class ProcessGuard:
    """`item`: the running test. `shared`: above 0 while any test may start a process. `strict`: fail the tests."""

    def __init__(self) -> None:
        self.item: pytest.Item | None = None
        self.shared = 0
        self.strict = False

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        """An audit hook of Python."""
        if event == "import" and self.strict and arguments[0] == "tensorflow":
            where = self.item.nodeid if self.item else "a test module"
            raise RuntimeError(
                f"{where} loads TensorFlow: move it to a folder that the Makefile does not name in CHECKED"
            )
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
    """Watch this process from now on."""
    GUARD.strict = strict
    sys.addaudithook(GUARD.hook)


@contextmanager
def watched(item: pytest.Item) -> Iterator[None]:
    """Processes that are started within the block belong to this test."""
    GUARD.item = item
    try:
        yield
    finally:
        GUARD.item = None


@contextmanager
def shared_process() -> Iterator[None]:
    """Within the block any test may start a process, such as a Redis that all tests of a session share."""
    GUARD.shared += 1
    try:
        yield
    finally:
        GUARD.shared -= 1
