"""Fixtures of several modules of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.metadata import Aws, Azure, Gce
from tests.unit.worker.attempt_run import Away
from tests.unit.worker.notice_watch import pointed_at
from worker import retry


@pytest.fixture
def store(tmp_path: Path) -> Away:
    return Away(tmp_path)


@pytest.fixture
def no_retry_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make retries follow without a delay."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0)


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gce]:
    with pointed_at(cloud := Gce(), monkeypatch):
        yield cloud


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    with pointed_at(cloud := Aws(), monkeypatch):
        yield cloud


@pytest.fixture
def microsoft(monkeypatch: pytest.MonkeyPatch) -> Iterator[Azure]:
    with pointed_at(cloud := Azure(), monkeypatch):
        yield cloud
