"""URLs of data: what a spec may name, and what is below an allowed prefix."""

from __future__ import annotations

from typing import Any

import pytest

from baton.domain.data_sources import DataSources, DataUrl
from baton.domain.errors import SpecError
from baton.domain.spec import JobSpec, parse_spec, spec_version

SHA = "a" * 64


def job(**dataset: Any) -> JobSpec:
    data = {"name": "image-folder", **dataset}
    return parse_spec({"name": "x", "network": {"name": "network-2"}, "dataset": data, "stages": [{"epochs": 1}]})


@pytest.mark.parametrize(
    ("dataset", "version"),
    [
        ({"path": "/data/flowers"}, 1),
        ({"path": "odd:name/d"}, 1),
        ({"path": "https://example.org/flowers.zip"}, 4),
        ({"path": f"http://example.org/flowers.zip#sha256={SHA}"}, 4),
        ({"path": "gs://photos/cats and dogs/"}, 4),
        ({"path": "s3://photos"}, 4),
    ],
)
def test_only_jobs_with_a_url_need_a_newer_worker(dataset: dict[str, Any], version: int) -> None:
    assert spec_version(job(**dataset)) == version


@pytest.mark.parametrize(
    ("dataset", "error"),
    [
        ({"path": "ftp://example.org/a.zip"}, "dataset.path: must be a path on the worker, or begin with https://"),
        ({"path": "file:///etc"}, "dataset.path: must be a path on the worker"),
        ({"path": "http://example.org/a.zip"}, "dataset.path: http:// needs #sha256=HEX"),
        ({"path": "https://example.org/a.zip#sha1=00"}, "dataset.path: after '#' only sha256="),
        ({"path": "https://me:secret@example.org/a.zip"}, "a user name or password is not allowed"),
        ({"path": "https://example.org/../a.zip"}, "must not contain '.' or '..'"),
        ({"path": "https://example.org/%2e%2E/a.zip"}, "must not contain '.' or '..'"),
        ({"path": "https://example.org/a%2fb.zip"}, "an encoded '/'"),
        ({"path": "https://example.org\\@evil/a.zip"}, "a backslash or a control character"),
        ({"path": "https://example.org/a\n.zip"}, "a backslash or a control character"),
        ({"path": "https:///a.zip"}, "it has no host or bucket"),
        ({"path": "https://example.org:0x50/a.zip"}, "is not a valid URL"),
        ({"path": "gs://photos/a?b"}, "must not contain '?'"),
    ],
)
def test_what_is_wrong_is_said_with_its_field(dataset: dict[str, Any], error: str) -> None:
    with pytest.raises(SpecError) as caught:
        job(**dataset)
    assert error in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://example.org/sets/flowers.zip", True),
        ("https://EXAMPLE.org:443/sets/flowers.zip?sig=1", True),
        ("https://example.org./sets/flowers.zip", True),
        ("https://example.org/sets", True),
        ("https://example.org/sets2/flowers.zip", False),
        ("https://example.org/", False),
        ("https://example.org:8443/sets/flowers.zip", False),
        ("https://example.org.evil.net/sets/flowers.zip", False),
        (f"http://example.org/sets/flowers.zip#sha256={SHA}", False),
        (f"http://127.0.0.1:9000/any.zip#sha256={SHA}", True),
        ("https://127.0.0.1:9000/any.zip", False),
        ("https://169.254.169.254/latest/meta-data/", False),
        ("gs://photos/cats", True),
        ("gs://photos", True),
        ("gs://photos2/cats", False),
        ("s3://photos/cats", False),
    ],
)
def test_a_url_is_allowed_below_a_prefix_of_the_operator(url: str, allowed: bool) -> None:
    sources = DataSources.parse(" https://example.org/sets, http://127.0.0.1:9000/ ,gs://photos")
    assert sources.allow(DataUrl.parse(url)) is allowed
    assert not DataSources.parse("").allow(DataUrl.parse(url))


@pytest.mark.parametrize("text", ["example.org", "https://", "https://example.org/?a", "gs://photos/../x", "file:///d"])
def test_a_wrong_prefix_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        DataSources.parse(f"gs://photos,{text}")
    assert repr(text) in str(caught.value)
