"""A worker's settings for downloads: a mirror, another file, or an error that explains what is wrong."""

import pytest
from pydantic import ValidationError

from baton.domain.catalog import TINY_IMAGENET_ZIP
from baton.domain.downloads import Download
from worker.settings import WorkerSettings


def source(monkeypatch: pytest.MonkeyPatch, **settings: str) -> Download:
    for name, value in {"TOKEN": "t", "STORE": "file:///x", **settings}.items():
        monkeypatch.setenv(f"BATON_{name}", value)
    return WorkerSettings().downloads["tiny-imagenet-200"]


def test_the_official_zip_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert source(monkeypatch) == TINY_IMAGENET_ZIP
    assert TINY_IMAGENET_ZIP.bytes == 248_100_043


def test_a_mirror_keeps_the_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    found = source(monkeypatch, TINY_IMAGENET_URL="https://mirror/x.zip")
    assert (found.url, found.checksum) == ("https://mirror/x.zip", TINY_IMAGENET_ZIP.checksum)


def test_another_file_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = source(monkeypatch, TINY_IMAGENET_URL="https://mirror/x.zip", TINY_IMAGENET_CHECKSUM="none")
    assert (found.bytes, found.checksum) == (None, None)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TINY_IMAGENET_URL", "file:///etc/passwd", "must begin with http"),
        ("TINY_IMAGENET_CHECKSUM", "90528d7ca1a48142e341f4ef8d21d0de", "must be md5:"),
    ],
)
def test_a_wrong_setting_ends_the_worker_at_its_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        source(monkeypatch, **{name: value})
