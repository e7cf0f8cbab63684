"""Reports are made in a separate process. Training continues, whatever happens to them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.reports import material
from worker.attempt.protocols import JobRecord, Stopped
from worker.training.output.report_process import ReportProcess

pytestmark = pytest.mark.process

MODULE = "tests.support.fake_report"
SECONDS = 60.0


@dataclass
class Outside:
    """The part of a control that reports use. `held`: the service delays its responses."""

    files: dict[str, Callable[[Path], None]] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    asked: int = 0

    def job_record(self) -> JobRecord | None:
        self.asked += 1
        assert self.held.wait(SECONDS)
        return None

    def publish(self, name: str, make: Callable[[Path], None], content_type: str) -> None:
        self.files[name] = make

    def note(self, kind: str, message: str, data: Mapping[str, Any] | None = None) -> None:
        self.notes.append((kind, message))


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    monkeypatch.setenv("PRINTER", "works")
    made = Outside()
    made.held.set()
    return made


def press(outside: Outside, *, enabled: bool = True, every: float = 3600.0) -> ReportProcess:
    return ReportProcess(outside, enabled=enabled, every=every, module=MODULE)  # type: ignore[arg-type]


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def nothing() -> None:
    """Do nothing between two checks."""


def test_the_last_report_is_waited_for_and_whole(outside: Outside, tmp_path: Path) -> None:
    press(outside).finish(material, nothing)
    assert sorted(outside.files) == ["report-loss.png", "report.html", "report.md"]
    outside.files["report.html"](tmp_path / "page")
    assert (tmp_path / "page").read_text() == f"report.html of {os.getpid()}"
    assert outside.notes == []


def test_a_running_job_gets_the_page_alone_and_not_too_often(outside: Outside) -> None:
    made = press(outside)
    made.offer(material)
    until(lambda: outside.files)
    assert list(outside.files) == ["report.html"]
    made.offer(pytest.fail)


def test_no_second_report_while_one_is_under_way(outside: Outside) -> None:
    outside.held.clear()
    made = press(outside, every=0)
    made.offer(material)
    until(lambda: outside.asked)
    made.offer(pytest.fail)
    outside.held.set()
    until(lambda: outside.files)


def test_a_report_that_fails_is_a_note(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRINTER", "fails")
    press(outside).finish(material, nothing)
    assert outside.files == {}
    assert outside.notes == [("report_failed", "the report could not be made: RuntimeError: no ink")]


def test_material_that_cannot_be_gathered_is_a_note(outside: Outside) -> None:
    def broken() -> Any:
        raise ValueError("no images")

    press(outside).offer(broken)
    assert outside.notes == [("report_failed", "the report could not be made: ValueError: no images")]


def test_a_stop_gives_the_report_up_at_once(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRINTER", "hangs")
    made, looks = press(outside), list[bool]()

    def stop() -> None:
        looks.append(True)
        if len(looks) == 3:
            raise Stopped

    with pytest.raises(Stopped):
        made.finish(material, stop)
    task = made._task
    assert task is not None
    made.close()
    until(lambda: not task.under_way)  # without the end of `close`, the process would hang for an hour
    assert (outside.files, outside.notes) == ({}, [])


def test_nothing_is_made_where_reports_are_off(outside: Outside) -> None:
    made = press(outside, enabled=False)
    made.offer(pytest.fail)
    made.finish(pytest.fail, pytest.fail)
    made.close()
    assert outside.asked == 0
