"""Data sets from web servers and buckets: only allowed ones, each version cached once, continued after a break."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from baton.domain.data_sources import DataSources, DataUrl
from baton.domain.errors import JobFailure
from baton.domain.spec import DatasetSpec
from baton.storage import StoreConfigError, open_store
from baton.storage.directory import DirectoryStore
from baton.system.data_cache import cached_data, data_folder
from baton.transfer import RetryPolicy
from tests.support.file_server import FileServer, serving
from tests.support.gcs import gcs_emulator
from tests.support.pushed_data import CountedStore
from tests.unit.training.archives import zip_of
from tests.unit.training.pictures import image_folder
from worker.fetched.entries import Entries
from worker.fetched.store_reads import THREADS
from worker.training.data import ImageData, RemoteData, load_images
from worker.training.data.remote.buckets import BucketData
from worker.training.data.remote.web import WebZip

HASTY = RetryPolicy(tries=3, first_delay=0.01, longest_delay=0.02)


def load(path: str, cache: Path, sources: str) -> ImageData:
    remote = RemoteData(cache, sources=DataSources.parse(sources))
    spec = DatasetSpec(name="image-folder", path=path)
    try:
        return load_images(spec, size=16, cache=cache, seed=1, remote=remote)
    finally:
        remote.close()


def with_checksum(server: FileServer) -> str:
    return f"{server.url}#sha256={hashlib.sha256(server.content).hexdigest()}"


@pytest.fixture
def zipped(tmp_path: Path) -> bytes:
    return zip_of(image_folder(tmp_path / "d"), tmp_path / "d.zip").read_bytes()


def test_a_zip_of_a_server_is_the_same_data_as_the_folder_and_is_continued_after_a_break(
    tmp_path: Path, zipped: bytes
) -> None:
    with serving(zipped, breaks=[len(zipped) // 3, len(zipped) // 3]) as server:
        url = with_checksum(server)
        for _ in range(2):
            data = load(url, tmp_path / "cache", f"http://127.0.0.1:{server.port}")
        assert server.starts == [0, len(zipped) // 3, 2 * (len(zipped) // 3)]
    from_folder = load_images(
        DatasetSpec(name="image-folder", path=str(tmp_path / "d")), size=16, cache=tmp_path, seed=1
    )
    assert data.identity is not None and from_folder.identity is not None
    assert data.identity.digest == from_folder.identity.digest


def of_server(server: FileServer, entries: Entries) -> bytes:
    """The zip, fetched without a checksum, as from an https:// URL."""
    url = DataUrl("http", f"127.0.0.1:{server.port}", "data.zip", server.url)
    allowed = DataSources((DataUrl("http", url.place, "", ""),))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(WebZip, "_check", lambda _self, _url: None)  # it refuses http:// without a checksum
        return WebZip(url, allowed, HASTY).get(entries, lambda _text: None).read_bytes()


def test_without_a_checksum_the_server_is_asked_for_the_version_and_another_version_is_other_data(
    tmp_path: Path, zipped: bytes
) -> None:
    entries = Entries(tmp_path)
    with serving(zipped) as server:
        assert of_server(server, entries) == of_server(server, entries) == zipped
        assert len(server.asked) == 4  # version, file, version; version
        server.content = zipped + b"more"
        assert of_server(server, entries) == zipped + b"more"
        server.contents = [zipped, b"new", b"new"]
        with pytest.raises(JobFailure, match=r"/data.zip: changed on the server while it was fetched") as caught:
            of_server(server, Entries(tmp_path / "other"))
        assert caught.value.reason == "download_failed"
        server.statuses = [503, 503, 503]
        with pytest.raises(JobFailure, match="HTTP 503") as caught:
            of_server(server, entries)
        assert caught.value.reason == "download_failed"


def test_a_url_that_is_not_allowed_is_not_requested_also_after_a_redirect(tmp_path: Path, zipped: bytes) -> None:
    with serving(zipped, redirect="/moved") as server:
        place, url = f"http://127.0.0.1:{server.port}", with_checksum(server)
        for sources in ("", "gs://photos", f"{place}/other/"):
            with pytest.raises(JobFailure, match="below a URL that BATON_DATA_SOURCES of this worker allows") as caught:
                load(url, tmp_path / "cache", sources)
            assert caught.value.reason == "bad_data"
        assert server.asked == []
        with pytest.raises(JobFailure, match=rf"data.zip: redirects to {place}/moved, which is not below") as caught:
            load(url, tmp_path / "cache", f"{place}/data.zip")
        assert (caught.value.reason, len(server.asked)) == ("bad_data", 1)
        load(url, tmp_path / "cache", place)


def of_bucket(store: DirectoryStore, cache: Path, url: str = "gs://photos/sets/flowers") -> Path:
    entries = Entries(cache)
    try:
        return BucketData(DataUrl.parse(url), lambda _url: store).get(entries, lambda _text: None)
    finally:
        entries.close()


@pytest.fixture
def store(tmp_path: Path) -> CountedStore:
    made = CountedStore(tmp_path / "bucket")
    for k in range(30):
        made.put(f"sets/flowers/{k % 3}/{k:02}.png", bytes([k]) * 1000)
    made.put("sets/flowers.zip", b"zip")
    made.put("sets/flowers2/x", b"")
    return made


def test_a_folder_of_a_bucket_is_fetched_once_until_it_changes(tmp_path: Path, store: CountedStore) -> None:
    cache = tmp_path / "cache"
    found = of_bucket(store, cache)
    assert found == of_bucket(store, cache, "gs://photos/sets/flowers/")
    assert {path.relative_to(found).as_posix(): path.read_bytes() for path in found.rglob("*.png")} == {
        f"{k % 3}/{k:02}.png": bytes([k]) * 1000 for k in range(30)
    }
    assert len(store.reads) == 30
    store.put("sets/flowers/0/00.png", b"other")
    changed = of_bucket(store, cache)
    assert changed != found
    assert (changed / "0" / "00.png").read_bytes() == b"other"
    assert of_bucket(store, cache, "gs://photos/sets/flowers.zip").read_bytes() == b"zip"
    with pytest.raises(JobFailure, match=r"dataset.path: gs://photos/none has no objects below it") as caught:
        of_bucket(store, cache, "gs://photos/none")
    assert caught.value.reason == "bad_data"


def test_a_fetch_from_a_bucket_goes_on_where_it_ended(tmp_path: Path, store: CountedStore) -> None:
    def before(_name: str) -> None:
        if len(store.reads) >= 20:
            raise StoreConfigError("forbidden")

    store.before = before
    with pytest.raises(JobFailure, match=r"dataset.path: gs://photos/sets/flowers: forbidden") as caught:
        of_bucket(store, tmp_path / "cache")
    assert caught.value.reason == "store_refused"
    (entry,) = cached_data(data_folder(tmp_path / "cache"))
    part = data_folder(tmp_path / "cache") / f"{entry.key}.part" / "folder"
    cut = next(path for path in sorted(part.rglob("*.png")) if path.stat().st_size == 1000)
    cut.write_bytes(cut.read_bytes()[:600])
    store.before, store.reads = lambda _name: None, []
    found = of_bucket(store, tmp_path / "cache")
    assert all(path.read_bytes() == bytes([int(path.stem)]) * 1000 for path in found.rglob("*.png"))
    assert 11 <= len(store.reads) <= 11 + THREADS  # some of the files in progress had not been written


@pytest.mark.process
def test_a_folder_in_a_bucket_of_google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder(tmp_path / "d")
    with gcs_emulator() as emulator:
        for name, value in emulator.environ.items():
            monkeypatch.setenv(name, value)
        made = open_store(emulator.store_url())
        for path in sorted(root.rglob("*.jpg")):
            made.put(f"my flowers/{path.relative_to(root).as_posix()}", path)
        url = f"gs://{emulator.bucket}/my flowers"
        data = load(url, tmp_path / "cache", f"gs://{emulator.bucket}/my%20flowers/")
        part = next(data_folder(tmp_path / "cache").rglob("00.jpg"))
        part.write_bytes(bytes(part.stat().st_size))  # the disk lost it: only a complete entry is trusted
        entry = part.parents[2]
        entry.rename(entry.with_name(f"{entry.name}.part"))
        again = load(url, tmp_path / "cache", f"gs://{emulator.bucket}")
        with pytest.raises(JobFailure, match=r"dataset.path: gs://no-such-bucket") as caught:
            load("gs://no-such-bucket/x", tmp_path / "cache", "gs://no-such-bucket")
        assert caught.value.reason in ("bad_data", "store_refused")
    assert data.identity is not None and again.identity is not None
    assert (len(data.train), data.identity.digest) == (16, again.identity.digest)
