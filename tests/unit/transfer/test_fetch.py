"""Downloads over HTTP from servers that misbehave in many ways: the file is complete and right, or the error
explains the failure.
"""

import errno
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from baton.domain.downloads import Checksum, Download
from baton.domain.errors import JobFailure
from baton.transfer import RetryPolicy, Wants, download, fetch
from baton.transfer import http_stream as stream_module
from baton.transfer.partial_file import Partial
from tests.support.file_server import FileServer, serving
from tests.support.gcs import until

CONTENT = random.Random(1).randbytes(1_000_000)
OTHER = random.Random(2).randbytes(1_000_000)
HASTY = RetryPolicy(tries=4, first_delay=0.01, longest_delay=0.02)


def md5(content: bytes) -> Checksum:
    return Checksum("md5", hashlib.md5(content).hexdigest())


def source(server: FileServer, content: bytes = CONTENT, *, checked: bool = True, sized: bool = True) -> Download:
    size, checksum = (len(content) if sized else None), (md5(content) if checked else None)
    return Download("data.zip", server.url, size, checksum, "BATON_X_URL names a mirror")


def get(wanted: Download, folder: Path, report: Callable[[int, int | None], None] = lambda _d, _t: None) -> bytes:
    file = fetch(wanted, folder / "sub" / "data.zip", Wants(report=report, patience=HASTY))
    left = {entry.name for entry in file.parent.iterdir()}
    assert left == {"data.zip", "data.zip.lock"}
    return file.read_bytes()


def failure(wanted: Download, folder: Path) -> JobFailure:
    with pytest.raises(JobFailure) as caught:
        get(wanted, folder)
    assert not (folder / "sub" / "data.zip").exists()
    return caught.value


def test_a_whole_file_with_its_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    with serving(CONTENT) as server:
        assert get(source(server), tmp_path, lambda *said: seen.append(said)) == CONTENT
        assert get(source(server), tmp_path) == CONTENT
        assert len(server.asked) == 1
        assert server.asked[0]["accept-encoding"] == "identity"
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize("checked", [True, False])
def test_what_breaks_off_goes_on_at_the_byte(tmp_path: Path, checked: bool) -> None:
    with serving(CONTENT, breaks=[300_000, 200_000, 0, 400_000]) as server:
        assert get(source(server, checked=checked, sized=checked), tmp_path) == CONTENT
        assert server.starts == [0, 300_000, 500_000, 500_000, 900_000]
        assert all(asked["if-range"] == server.tag for asked in server.asked[1:])


def test_a_server_that_ignores_ranges_begins_anew(tmp_path: Path) -> None:
    with serving(CONTENT, breaks=[300_000, 600_000], ranges=False) as server:
        assert get(source(server), tmp_path) == CONTENT
        assert server.starts == [0, 300_000, 600_000]


def test_a_server_that_begins_anew_for_ever_is_left(tmp_path: Path) -> None:
    with serving(CONTENT, breaks=[300_000] * 20, ranges=False) as server:
        found = failure(source(server), tmp_path)
        assert (found.reason, len(server.asked)) == ("download_failed", 4)
    assert "tried 4 times without progress" in str(found)
    assert "0.30 MB are kept" in str(found)


def test_without_validator_and_checksum_a_download_starts_again(tmp_path: Path) -> None:
    with serving(CONTENT, breaks=[300_000], tagged=False) as server:
        assert get(source(server, checked=False), tmp_path) == CONTENT
        assert server.starts == [0, 0]


def test_a_checksum_is(tmp_path: Path) -> None:
    with serving(CONTENT, breaks=[300_000], tagged=False) as server:
        assert get(source(server), tmp_path) == CONTENT
        assert server.starts == [0, 300_000]
        assert "if-range" not in server.asked[1]


def test_the_date_of_change_serves_where_there_is_no_etag(tmp_path: Path) -> None:
    part = Partial(tmp_path / "data.zip")
    stamp = "Wed, 21 Oct 2015 07:28:00 GMT"
    part.begin("http://x/", stream_module.httpx.Headers({"etag": 'W/"weak"', "last-modified": stamp}), 10)
    part.path.write_bytes(b"12345")
    assert part.headers("http://x/", checked=False) == {"Range": "bytes=5-", "If-Range": stamp}
    assert part.headers("http://y/", checked=False) == {}


@pytest.mark.parametrize("blind", [False, True])
def test_a_file_that_changes_between_the_halves_is_had_anew(tmp_path: Path, blind: bool) -> None:
    contents = [OTHER, CONTENT]
    with serving(OTHER, breaks=[300_000], contents=contents, blind=blind) as server:
        assert get(source(server), tmp_path) == CONTENT
        assert server.starts == ([0, 300_000, 0] if blind else [0, 300_000])


def test_mixed_halves_of_two_files_are_found_by_the_checksum(tmp_path: Path) -> None:
    with serving(OTHER, breaks=[300_000], contents=[OTHER, CONTENT], tagged=False) as server:
        assert get(source(server), tmp_path) == CONTENT
        assert server.starts == [0, 300_000, 0]


def test_wrong_bytes_are_deleted_and_had_once_anew(tmp_path: Path) -> None:
    with serving(OTHER, contents=[OTHER, CONTENT]) as server:
        assert get(source(server), tmp_path) == CONTENT
    with serving(OTHER) as server:
        found = failure(source(server), tmp_path / "2")
        assert (found.reason, len(server.asked)) == ("bad_data", 2)
    assert f"came twice with {md5(OTHER)} instead of {md5(CONTENT)}" in str(found)
    assert str(found).endswith("BATON_X_URL names a mirror")
    assert [entry.name for entry in (tmp_path / "2" / "sub").iterdir()] == ["data.zip.lock"]


@pytest.mark.parametrize("content", [b"<html>log in first</html>", CONTENT + b"more"])
def test_another_size_is_another_file(tmp_path: Path, content: bytes) -> None:
    with serving(content) as server:
        found = failure(source(server), tmp_path)
        assert (found.reason, len(server.asked)) == ("bad_data", 2)
    assert "instead of 1,000,000" in str(found)


def test_a_length_that_nobody_knows(tmp_path: Path) -> None:
    with serving(CONTENT, sized=False, breaks=[400_000]) as server:
        assert get(source(server), tmp_path) == CONTENT
        assert server.starts == [0, 400_000]


def test_a_file_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with serving(CONTENT, statuses=[404]) as server:
        found = failure(source(server), tmp_path)
        assert (found.reason, len(server.asked)) == ("bad_data", 1)
    assert str(found) == f"{server.url}: HTTP 404 Not Found; BATON_X_URL names a mirror"


def test_a_busy_server_is_waited_for_as_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(download, "pause", lambda seconds, _tick: pauses.append(seconds))
    with serving(CONTENT, statuses=[503, 429, 500], headers={"Retry-After": "7"}) as server:
        assert get(source(server), tmp_path) == CONTENT
    assert pauses == [7.0] * 3
    with serving(CONTENT, statuses=[503] * 9) as server:
        found = failure(source(server), tmp_path / "2")
        assert (found.reason, len(server.asked)) == ("download_failed", 4)
    assert "HTTP 503" in str(found)


def test_nobody_there(tmp_path: Path) -> None:
    with serving(CONTENT) as server:
        pass
    found = failure(source(server), tmp_path)
    assert (found.reason, "refused" in str(found)) == ("download_failed", True)


def test_a_redirect_is_followed(tmp_path: Path) -> None:
    with serving(CONTENT, redirect="/moved") as server:
        assert get(source(server), tmp_path) == CONTENT


def test_what_was_whole_when_its_process_died_is_not_had_again(tmp_path: Path) -> None:
    with serving(CONTENT) as server:
        part = Partial(tmp_path / "sub" / "data.zip")
        part.path.parent.mkdir()
        part.begin(server.url, stream_module.httpx.Headers({"etag": server.tag}), len(CONTENT))
        part.path.write_bytes(CONTENT)
        assert get(source(server), tmp_path) == CONTENT
        assert server.starts == [len(CONTENT)]


def test_a_stop_ends_a_silent_download_soon_and_the_next_goes_on(tmp_path: Path) -> None:
    with serving(CONTENT, stalls=True) as server:

        def stop(done: int, total: int | None) -> None:
            if done == len(CONTENT) // 2 and server.halfway.is_set():
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            get(source(server), tmp_path, stop)
        assert len(server.asked) == 1  # a response that ended would have caused a second request
        server.stalls = False
        assert get(source(server), tmp_path) == CONTENT
        assert server.starts == [0, len(CONTENT) // 2]


def test_two_at_once_download_once(tmp_path: Path) -> None:
    with serving(CONTENT, stalls=True) as server:
        seen: list[int] = []
        got: list[bytes] = []

        def watch(done: int, total: int | None) -> None:
            seen.append(done)
            server.released.set()

        def first() -> None:
            got.append(get(source(server), tmp_path))

        def second() -> None:
            got.append(get(source(server), tmp_path, watch))

        threads = [threading.Thread(target=first), threading.Thread(target=second)]
        threads[0].start()
        assert server.halfway.wait(60)
        part = Partial(tmp_path / "sub" / "data.zip")
        until(lambda: part.size == len(CONTENT) // 2, 60, "the sent bytes to be on the disk")
        server.stalls = False
        threads[1].start()
        for thread in threads:
            thread.join()
        assert got == [CONTENT, CONTENT]
        assert server.starts == [0, len(CONTENT) // 2]
    assert seen[0] == len(CONTENT) // 2


KILLED = """
import os, signal, sys
from pathlib import Path
from baton.domain.downloads import Download
from baton.transfer import Wants, fetch
def report(done, total):
    if done >= 400_000:
        os.kill(os.getpid(), signal.SIGKILL)
fetch(Download("data.zip", sys.argv[1]), Path(sys.argv[2]), Wants(report))
"""


@pytest.mark.process
def test_a_killed_download_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with serving(CONTENT) as server:
        command = [sys.executable, "-c", KILLED, server.url, str(tmp_path / "sub" / "data.zip")]
        done = subprocess.run(command, check=False, capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert get(source(server), tmp_path) == CONTENT
        assert 400_000 <= server.starts[1] < len(CONTENT)


def test_too_small_a_disk_is_told_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage(10, 5, 5))
    with serving(CONTENT) as server:
        found = failure(source(server), tmp_path)
    assert found.reason == "disk_full"
    assert "1.00 MB are needed, 0.0 kB are free; make room, or set BATON_CACHE" in str(found)


def test_a_disk_that_fills_up_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with serving(CONTENT) as server:
        assert failure(source(server), tmp_path).reason == "disk_full"


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "sub").write_text("a file in its place")
    with serving(CONTENT) as server:
        found = failure(source(server), tmp_path)
    assert found.reason == "cache_unusable"
    assert str(tmp_path / "sub") in str(found)


@pytest.mark.parametrize("text", ["md5:12", "sha1:" + "0" * 40, "md5:" + "g" * 32, "", "0" * 32])
def test_a_checksum_has_a_form(text: str) -> None:
    with pytest.raises(ValueError, match="must be md5:"):
        Checksum.parse(text)


def test_a_mirror_has_the_same_file_and_another_checksum_another() -> None:
    known = Download("x.zip", "http://a/x.zip", 5, md5(b"x"))
    assert known.changed("https://b/y.zip") == Download("x.zip", "https://b/y.zip", 5, md5(b"x"))
    assert known.changed(checksum=str(md5(b"y"))) == Download("x.zip", "http://a/x.zip", None, md5(b"y"))
    assert known.changed(checksum="none") == Download("x.zip", "http://a/x.zip")
    assert known.changed(checksum=str(md5(b"x"))) == known
    with pytest.raises(ValueError, match="must begin with http"):
        known.changed("file:///etc/passwd")
