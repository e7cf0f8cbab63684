"""Large files are sent in large requests, with little memory."""

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from baton.storage import BlobStore, LocalFileError, crc32c_of, gcs
from baton.storage.gcs import GcsStore
from baton.storage.gcs_stream import FIRST_BYTES, MOST_BYTES, RequestStream
from tests.contract.objects import BIG

MEBIBYTE = 1 << 20


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(BIG * 3)
    return path


def test_a_file_is_sent_without_being_in_memory(direct: BlobStore, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baton.storage.gcs_stream.FIRST_BYTES", 32 * MEBIBYTE)
    direct.put("warm-up", BIG)
    tracemalloc.start()
    try:
        stored = direct.put("a", file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (stored.size, stored.crc32c) == (len(BIG) * 3, crc32c_of(file))
    assert peak < 8 * MEBIBYTE
    assert direct.get("a") == file.read_bytes()


def test_a_file_that_becomes_shorter_is_an_error_of_the_file(
    store: GcsStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = gcs.Upload.__init__

    def changing(*args: Any, **options: Any) -> None:
        measure(*args, **options)
        file.write_bytes(BIG)

    monkeypatch.setattr(gcs.Upload, "__init__", changing)
    with pytest.raises(LocalFileError, match="shorter"):
        store.put("a", file)
    assert store.stat("a") is None


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.001, MOST_BYTES), (2.0, 4 * FIRST_BYTES), (6.4, 10 * MEBIBYTE), (60.0, FIRST_BYTES)],
)
def test_a_request_has_what_can_be_sent_in_a_few_seconds(seconds: float, expected: int) -> None:
    now = 0.0
    with RequestStream(b"", clock=lambda: now) as stream:
        assert len(stream.read(MOST_BYTES)) == FIRST_BYTES
        now += seconds
        second = len(stream.read(MOST_BYTES))
    assert second == expected


def test_the_body_of_a_request_can_be_sent_again(file: Path) -> None:
    with RequestStream(file) as stream:
        stream.read(MEBIBYTE)
        body = stream.read(2 * MEBIBYTE + 1)
        assert b"".join(body) == b"".join(body) == file.read_bytes()[MEBIBYTE : 3 * MEBIBYTE + 1]
