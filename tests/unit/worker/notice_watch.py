"""Watches a source of notices in a thread, against a fake metadata server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from tests.support.gcs import until
from tests.support.metadata import Cloud, serving
from worker.preemption import watcher
from worker.preemption.notice import NoticeDetails
from worker.preemption.port import Source

SOON = 60.0


@contextmanager
def pointed_at(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with serving(cloud):
        for name, value in cloud.environment.items():
            monkeypatch.setenv(name, value)
        # Requests for metadata must never go through the machine's proxy.
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        yield


class Ended(Exception):
    """Ends the watch."""


class Watch:
    """Watches a source in a thread, with pauses of length 0."""

    def __init__(self, source: Source) -> None:
        self.words: SimpleQueue[NoticeDetails] = SimpleQueue()
        self.pauses: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(source,), daemon=True)
        self._thread.start()

    def _run(self, source: Source) -> None:
        with pytest.raises(Ended):
            watcher.watch(source, self.words.put, self._wait)
            raise Ended

    def _wait(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if self._over.wait(0.01):
            raise Ended

    def word(self) -> NoticeDetails:
        return self.words.get(timeout=SOON)

    def close(self) -> None:
        self._over.set()


@contextmanager
def watching(source: Source) -> Iterator[Watch]:
    watch = Watch(source)
    try:
        yield watch
    finally:
        watch.close()


def asked(cloud: Cloud, times: int) -> None:
    """Wait until the server has received this many requests in total."""
    until(lambda: len(cloud.asked) >= times, SOON, f"{times} questions")


def asked_again(cloud: Cloud, times: int) -> None:
    """Wait until the server has received this many more requests."""
    asked(cloud, len(cloud.asked) + times)
