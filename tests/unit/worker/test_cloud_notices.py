"""Each adapter against an imitation of its cloud's metadata server, over real HTTP."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

import httpx
import pytest

from tests.support.gcs import until
from tests.support.metadata import RESET, Aws, Azure, Cloud, Gce, serving
from worker.preemption import gce, watch_notices, watcher
from worker.preemption.aws import AwsSource
from worker.preemption.azure import AzureSource
from worker.preemption.notice import NoticeDetails
from worker.preemption.notice_source import LEAST_SECONDS, MOST_SECONDS, Source

SOON = 60.0


@contextmanager
def pointed_at(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with serving(cloud):
        for name, value in cloud.environment.items():
            monkeypatch.setenv(name, value)
        # Whatever the machine's proxy is, metadata never goes through it.
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        yield


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


class Ended(Exception):
    """The watch is over."""


class Watch:
    """A source watched in a thread, with pauses of nothing."""

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
    """Waits until the server was asked so often in all."""
    until(lambda: len(cloud.asked) >= times, SOON, f"{times} questions")


def asked_again(cloud: Cloud, times: int) -> None:
    """Waits until the server was asked so often more."""
    asked(cloud, len(cloud.asked) + times)


# --- Google Compute Engine ---


def test_a_preempted_vm_is_told_during_the_long_poll(google: Gce) -> None:
    with watching(gce.preemption()) as watch:
        asked(google, 2)
        assert "wait_for_change=true" in google.asked[1]
        assert "last_etag=" in google.asked[1]
        google.give_notice(30)
        assert watch.word() == NoticeDetails("gce", "preempted", 30.0)
    assert len(google.asked) == 2


def test_a_vm_that_is_preempted_already_is_told_at_once(google: Gce) -> None:
    google.set("preempted", "TRUE")
    with watching(gce.preemption()) as watch:
        assert watch.word().cause == "preempted"


def test_only_a_maintenance_that_terminates_is_an_end(google: Gce) -> None:
    with watching(gce.maintenance()) as watch:
        asked(google, 2)
        google.set("maintenance-event", "MIGRATE_ON_HOST_MAINTENANCE")
        asked(google, 3)
        google.set("maintenance-event", "NONE")
        asked(google, 4)
        assert watch.words.empty()
        google.set("maintenance-event", "TERMINATE_ON_HOST_MAINTENANCE")
        assert watch.word() == NoticeDetails("gce", "TERMINATE_ON_HOST_MAINTENANCE", 60.0)


def test_a_long_poll_that_ends_without_a_change_is_begun_anew(google: Gce) -> None:
    source = gce.preemption()
    source.poll_seconds = 0
    with watching(source) as watch:
        asked(google, 5)
        assert watch.words.empty()
        google.give_notice(30)
        assert watch.word().source == "gce"


def test_whoever_does_not_say_google_is_not_google(microsoft: Azure, amazon: Aws) -> None:
    class Anything(Cloud):
        def answer(self, request: object) -> None:
            request.reply(200, "TRUE")  # type: ignore[attr-defined]

    with serving(Anything()) as portal:
        source = gce.GceSource("preempted", {"TRUE": ("preempted", 30.0)}, host=portal.host)
        assert not watcher.is_there(source)
        with pytest.raises(ValueError, match="not a metadata server of Google"):
            source.look()


# --- Amazon EC2 ---


def test_a_spot_instance_is_told_of_its_interruption(amazon: Aws) -> None:
    with watching(AwsSource()) as watch:
        asked(amazon, 5)
        assert watch.words.empty()
        amazon.give_notice(120)
        word = watch.word()
    assert (word.source, word.cause, word.certain) == ("aws", "spot instance-action terminate", True)
    assert 60 < word.seconds <= 120
    assert amazon.asked.count("PUT /latest/api/token") == 1


def test_a_token_that_expired_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Aws(token_seconds=0.2)
    with pointed_at(cloud, monkeypatch), watching(AwsSource()) as watch:
        asked(cloud, 60)
        cloud.give_notice(120)
        assert watch.word().certain
    assert cloud.asked.count("PUT /latest/api/token") > 1


@pytest.mark.parametrize(
    "item", ['{"action": "hibernate", "time": "2100-01-01T00:00:00Z"}', '{"action": "stop"}', "{}"]
)
def test_an_interruption_without_a_time_leaves_the_least(amazon: Aws, item: str) -> None:
    amazon.items["spot/instance-action"] = item
    word = AwsSource().look()
    assert word is not None
    assert (word.certain, word.seconds) == (True, LEAST_SECONDS)


def test_a_time_without_a_zone_and_one_in_the_past(amazon: Aws) -> None:
    amazon.items["spot/instance-action"] = '{"action": "stop", "time": "2017-09-18T08:22:00"}'
    word = AwsSource().look()
    assert word is not None
    assert word.seconds == LEAST_SECONDS


def test_a_rebalance_is_no_certainty_and_told_once(amazon: Aws) -> None:
    with watching(AwsSource()) as watch:
        amazon.recommend()
        assert watch.word() == NoticeDetails("aws", "rebalance recommendation", certain=False)
        asked_again(amazon, 10)
        assert watch.words.empty()
        amazon.give_notice(120)
        assert watch.word().certain


# --- Azure ---


@pytest.mark.parametrize("kind", ["Preempt", "Terminate", "Reboot", "Redeploy"])
def test_an_event_that_ends_this_machine(microsoft: Azure, kind: str) -> None:
    with watching(AzureSource()) as watch:
        asked(microsoft, 4)
        microsoft.schedule("Freeze", 900)
        microsoft.schedule(kind, 30, "trainer_4")
        asked_again(microsoft, 4)
        assert watch.words.empty()
        microsoft.schedule(kind, 120, "trainer_2", "Trainer_3")
        word = watch.word()
    assert (word.source, word.cause, word.certain) == ("azure", kind, True)
    assert 60 < word.seconds <= 120


def test_of_several_events_the_first_counts(microsoft: Azure) -> None:
    microsoft.schedule("Reboot", 900)
    microsoft.schedule("Preempt", 30)
    word = AzureSource().look()
    assert word is not None
    assert word.cause == "Preempt"


@pytest.mark.parametrize(("seconds", "left"), [(None, LEAST_SECONDS), (-60.0, LEAST_SECONDS), (1e6, MOST_SECONDS)])
def test_an_event_that_began_and_a_clock_that_is_wrong(microsoft: Azure, seconds: float | None, left: float) -> None:
    microsoft.schedule("Terminate", seconds)
    word = AzureSource().look()
    assert word is not None
    assert word.seconds == left


# --- servers that fail ---

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
    # Backs off while it fails, and says so once.
    assert max(watch.pauses) > 1
    said = [r for r in caplog.records if r.levelno >= logging.WARNING and r.name == watcher.__name__]
    assert len(said) == 1


@pytest.mark.parametrize(("make", "source"), SOURCES)
def test_what_hangs_is_given_up(
    make: Callable[[], Cloud], source: Callable[[], Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make()
    cloud.faults.append(4.0)
    with pointed_at(cloud, monkeypatch), pytest.raises(httpx.TimeoutException):
        source().probe()


@pytest.mark.parametrize("text", ["[]", "no JSON", '"text"', "null"])
def test_nonsense_is_an_error_of_the_server(amazon: Aws, text: str) -> None:
    amazon.items["spot/instance-action"] = text
    with watching(AwsSource()) as watch:
        asked(amazon, 5)
        amazon.give_notice(120)
        assert watch.word().certain


# --- which cloud this is ---


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


def test_a_machine_of_no_cloud_hears_and_says_nothing(
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


def test_none_starts_nothing() -> None:
    before = threading.active_count()
    watch_notices("none", lambda _word: None)
    assert threading.active_count() == before
