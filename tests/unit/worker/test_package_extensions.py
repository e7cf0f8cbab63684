"""The entry points that a worker reports as extensions."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from worker import extensions


def test_a_package_cannot_make_a_worker_report_that_it_runs_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "entry_points", lambda group: [EntryPoint("any", "package:thing", group)])
    assert sorted(extensions.installed.__wrapped__()) == ["augmentation/any", "dataset/any", "network/any"]
