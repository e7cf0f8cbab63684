"""The output of a process: it is read from its file, limited in size, and uploaded in segments that are never
written twice.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import worker.log_shipping.shipper
from baton.domain.manifest import log_offset, log_segment
from baton.storage import AlreadyExists, BlobInfo, StoreConfigError, StoreUnavailable
from baton.storage.directory import DirectoryStore
from tests.support.gcs import until
from worker.log_shipping import process_output
from worker.log_shipping.backlog import Backlog
from worker.log_shipping.process_output import Output
from worker.log_shipping.shipper import Logs, Pace, Shipper

JOB = "0" * 32
QUICK = Pace(shortest=0.02, give_up=0.5)


def name(offset: int) -> str:
    return log_segment(JOB, 1, 7, offset)


class FlakyStore(DirectoryStore):
    """Raises given errors, before or after the operation."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.away = False
        self.puts: list[tuple[str, bytes]] = []

    def put(self, name: str, data: bytes, **options: object) -> BlobInfo:  # type: ignore[override]
        self.puts.append((name, bytes(data)))
        if self.away or self.before:
            raise self.before.pop() if self.before else StoreUnavailable("away")
        info = super().put(name, data, **options)  # type: ignore[arg-type]
        if self.after:
            raise self.after.pop()
        return info

    def log(self) -> tuple[bytes, bool]:
        """The bytes of the log, and whether it is complete."""
        text, whole = b"", False
        for found in self.list("jobs/"):
            assert not whole
            assert log_offset(found.name) == len(text)
            text += self.get(found.name)
            whole = found.size == 0
        return text, whole


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlakyStore:
    monkeypatch.setattr(worker.log_shipping.shipper, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(worker.log_shipping.shipper, "LONGEST_RETRY", 0.02)
    return FlakyStore(tmp_path / "store")


@pytest.fixture
def shipper(store: FlakyStore) -> Shipper:
    return Shipper(lambda _held: store, QUICK)


def test_a_log_grows_while_its_process_runs(store: FlakyStore, shipper: Shipper) -> None:
    shipper.add_output(b"said while it waited warm\n")
    assert store.log() == (b"", False)
    shipper.ship(name)
    until(lambda: store.log()[0] == b"said while it waited warm\n", 60, "the first words")
    shipper.add_output(b"more\n")
    until(lambda: store.log()[0].endswith(b"more\n"), 60, "more words")
    shipper.add_output(b"half a lette" + b"\xc3")
    shipper.end("it died")
    assert shipper.wait(60)
    assert store.log() == (b"said while it waited warm\nmore\nhalf a lette\xc3\nbaton: it died\n", True)


def test_a_process_that_never_got_an_attempt_leaves_nothing(store: FlakyStore, shipper: Shipper) -> None:
    shipper.add_output(b"hello")
    shipper.end()
    assert shipper.wait(0)
    assert store.puts == []


def test_one_that_says_nothing_has_a_whole_log(store: FlakyStore, shipper: Shipper) -> None:
    shipper.ship(name)
    shipper.end()
    assert shipper.wait(60)
    assert store.log() == (b"", True)
    assert store.puts == [(name(0), b"")]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_try_that_failed_is_repeated_with_the_same_bytes(store: FlakyStore, shipper: Shipper, when: str) -> None:
    getattr(store, when).extend([StoreUnavailable("now"), StoreUnavailable("now")])
    shipper.add_output(b"first")
    shipper.ship(name)
    until(lambda: len(store.puts) >= 1, 60, "a try")
    shipper.add_output(b"second")
    shipper.end()
    assert shipper.wait(60)
    assert store.log() == (b"firstsecond", True)
    said: dict[str, bytes] = {}
    for segment, data in store.puts:
        assert said.setdefault(segment, data) == data


def test_an_outage_holds_nobody_up_and_loses_nothing(store: FlakyStore, shipper: Shipper) -> None:
    store.away = True
    shipper.ship(name)
    for n in range(1000):
        shipper.add_output(b"%d\n" % n)
    until(lambda: len(store.puts) > 3, 60, "some tries")
    store.away = False
    shipper.end()
    assert shipper.wait(60)
    assert store.log() == (b"".join(b"%d\n" % n for n in range(1000)), True)


def test_after_the_end_it_gives_up_some_time(store: FlakyStore, shipper: Shipper) -> None:
    store.away = True
    shipper.add_output(b"x")
    shipper.ship(name)
    shipper.end()
    assert shipper.wait(60)
    assert len(store.puts) > 1  # it retried for a while
    assert store.log() == (b"", False)


@pytest.mark.parametrize("error", [StoreConfigError("no bucket"), AlreadyExists("a stranger's")])
def test_what_does_not_get_better_ends_it(store: FlakyStore, shipper: Shipper, error: Exception) -> None:
    store.before = [error]
    if isinstance(error, AlreadyExists):
        DirectoryStore.put(store, name(0), b"another's log")
    shipper.add_output(b"x")
    shipper.ship(name)
    assert shipper.wait(60)
    shipper.add_output(b"y")
    shipper.end()
    assert len(store.puts) == 1


def test_much_at_once_comes_in_bounded_segments(store: FlakyStore) -> None:
    shipper = Shipper(lambda _held: store, Pace(shortest=60.0, segment=1000, burst=10**9))
    shipper.add_output(b"a" * 3500)
    shipper.ship(name)
    shipper.end()
    assert shipper.wait(60)
    assert [len(data) for _, data in store.puts] == [1000, 1000, 1000, 500, 0]


def test_a_week_makes_no_hundred_thousand_objects() -> None:
    pace, age, count = Pace(), 0.0, 0
    while age < 7 * 86_400:
        age += pace.pause(age)
        count += 1
    assert pace.pause(0) == 2.0
    assert count < 12_000


def test_the_end_of_a_log_that_is_too_long_is_kept() -> None:
    backlog = Backlog(limit=1 << 20, tail=1024)
    for _ in range(300):
        backlog.add(b"x" * 10_000)
    backlog.add(b"Traceback: the very end\n")
    backlog.end("the training process died")
    text = backlog.take(10**9)
    head, _, rest = text.partition(b"\nbaton: ")
    assert head == b"x" * (1 << 20)
    notice, skipped, *more = rest.split(b"\n")
    assert notice == b"this log has reached 1 MiB: of the rest, the last 1 KiB follow at its end"
    assert skipped == b""
    kept = 3_000_000 + 24 - (1 << 20) - 1024
    assert more[0] == b"baton: %d bytes are left out here" % kept
    assert rest.endswith(b"Traceback: the very end\n\nbaton: the training process died\n")
    assert len(text) < (1 << 20) + 2048


def test_a_little_too_long_loses_nothing() -> None:
    backlog = Backlog(limit=10, tail=100)
    backlog.add(b"0123456789abc")
    backlog.end("")
    assert backlog.take(1000).replace(b"\n", b"").endswith(b"abc")
    assert b"left out here" not in backlog.take(1000)


@pytest.fixture
def heard() -> list[bytes]:
    return []


@pytest.fixture
def out(heard: list[bytes]) -> Iterator[Output]:
    made = Output(heard.append)
    yield made
    made.close()


def run(out: Output, program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-u", "-c", program], stdout=out, stderr=out)


@pytest.mark.process
def test_both_streams_and_grandchildren_are_heard(
    out: Output, heard: list[bytes], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    program = "import os, sys; print('one'); sys.stderr.write('two\\n'); os.system('echo three'); os.abort()"
    assert run(out, program).wait(60) != 0
    out.close()
    assert b"".join(heard) == b"one\ntwo\nthree\n"
    assert b"one\ntwo\nthree\n" in capfdbinary.readouterr().err


@pytest.mark.process
def test_a_reader_that_stands_still_does_not_stop_the_writer(heard: list[bytes]) -> None:
    go = threading.Event()

    def hear(data: bytes) -> None:
        go.wait(60)
        heard.append(data)

    made = Output(hear)
    assert run(made, "print('x' * 5_000_000)").wait(60) == 0  # a pipe would hold only 64 KiB
    go.set()
    made.close()
    assert len(b"".join(heard)) == 5_000_001


@pytest.mark.process
def test_its_file_does_not_grow_for_ever(out: Output, heard: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_output, "MAX_FILE_BYTES", 10_000)
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=out)
    assert process.stdin is not None
    for n in range(200):
        process.stdin.write(b"%0999d\n" % n)
        process.stdin.flush()
        if n % 20 == 19:  # output that is written during a cut is lost, so wait for the cut
            until(lambda: os.fstat(out.fileno()).st_size == 0, 60, "the file is read and cut")
    process.stdin.close()
    process.wait(60)
    out.close()
    assert b"".join(heard) == b"".join(b"%0999d\n" % n for n in range(200))


def test_the_store_is_opened_when_there_is_something(tmp_path: Path) -> None:
    made = Logs((tmp_path / "store").as_uri(), QUICK)
    silent, other = made.new(), made.new()
    silent.end()
    assert not (tmp_path / "store").exists()
    other.add_output(b"hi")
    other.ship(name)
    other.end()
    made.close(5)
    assert DirectoryStore(tmp_path / "store").get(name(0)) == b"hi"


def test_an_invalid_store_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    made = Logs("ftp://nowhere", QUICK)
    shipper = made.new()
    shipper.ship(name)
    assert shipper.wait(60)
    assert "incomplete in the store" in caplog.text
