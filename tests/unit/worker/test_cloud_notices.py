"""Metadata servers that fail, and how the cloud is detected."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

import httpx
import pytest

from tests.support.gcs import until
from tests.support.metadata import RESET, Aws, Azure, Cloud, Gce
from tests.unit.worker.notice_watch import SOON, pointed_at, watching
from worker.preemption import gce, watch_notices, watcher
from worker.preemption.aws import AwsSource
from worker.preemption.azure import AzureSource
from worker.preemption.notice import NoticeDetails
from worker.preemption.port import Source

SOURCES: list[tuple[Callable[[], Cloud], Callable[[], Source]]] = [
    (Gce, gce.preemption),
    (Aws, AwsSource),
    (Azure, AzureSource),
]


@pytest.mark.parametrize(("make", "source"), SOURCES)
def test_resets_errors_and_slow_answers_cost_no_notice(
    make: Callable[[], Cloud],
    source: Callable[[], Source],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cloud = make()
    cloud.faults.extend([RESET, 503, 500, 429, 0.3, RESET, 502])
    with pointed_at(cloud, monkeypatch), watching(source()) as watch:
        until(lambda: not cloud.faults, SOON, "all faults")
        cloud.give_notice(60)
        assert watch.word().certain
    # While it fails, the source backs off and logs one warning.
    assert max(watch.pauses) > 1
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING and r.name == watcher.__name__]
    assert len(warnings) == 1


@pytest.mark.parametrize(("make", "source"), SOURCES)
def test_what_hangs_is_given_up(
    make: Callable[[], Cloud], source: Callable[[], Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make()
    cloud.faults.append(4.0)
    with pointed_at(cloud, monkeypatch), pytest.raises(httpx.TimeoutException):
        source().probe()


def find(monkeypatch: pytest.MonkeyPatch) -> SimpleQueue[NoticeDetails]:
    words: SimpleQueue[NoticeDetails] = SimpleQueue()
    monkeypatch.setattr(watcher, "PROBE_AFTER", (0.0,))
    watch_notices("auto", words.put)
    return words


@pytest.mark.parametrize(("make", "name"), [(Gce, "gce"), (Aws, "aws"), (Azure, "azure")])
def test_the_cloud_is_found(make: Callable[[], Cloud], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = make()
    with pointed_at(cloud, monkeypatch):
        cloud.give_notice(60)
        assert find(monkeypatch).get(timeout=SOON).source == name


def test_a_machine_outside_all_clouds_gets_no_notices(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {
        "GCE_METADATA_HOST": "127.0.0.1:9",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9",
        "BATON_AZURE_METADATA": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    words = find(monkeypatch)
    for thread in [t for t in threading.enumerate() if t.name == "notices"]:
        thread.join(SOON)
        assert not thread.is_alive()
    with pytest.raises(Empty):
        words.get_nowait()
    assert [r for r in caplog.records if r.levelno > logging.DEBUG and r.name.startswith("worker")] == []


def test_with_notices_none_no_source_is_started() -> None:
    before = threading.active_count()
    watch_notices("none", lambda _word: None)
    assert threading.active_count() == before
