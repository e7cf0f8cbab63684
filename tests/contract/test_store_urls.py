"""Which URLs and bucket names open a store."""

import pytest

from baton.storage import StoreConfigError, open_store


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/store",
        "file://srv/store",
        "file:srv",
        "file://[::1/x",
        "http://bucket",
        "gs://",
        "s3:///x",
        "az://",
        "gs:///x",
        "gs://b/x?y",
    ],
)
def test_other_urls_are_refused_with_what_is_accepted(url: str) -> None:
    with pytest.raises(StoreConfigError, match="Use file:///absolute/directory, gs://bucket/prefix, s3://bucket"):
        open_store(url)


@pytest.mark.parametrize("url", ["gs://B_/x", "gs://b k/x", "gs://b", "s3://a_b", "s3://ab", "az://a.b", "az://a--b"])
def test_what_is_no_bucket_name_is_refused(url: str) -> None:
    with pytest.raises(StoreConfigError, match="bucket name"):
        open_store(url)


@pytest.mark.parametrize("scheme", ["gs", "s3", "az"])
@pytest.mark.parametrize("prefix", ["../x", "a//b", "x" * 121])
def test_a_prefix_that_no_name_could_follow_is_refused(scheme: str, prefix: str) -> None:
    with pytest.raises(StoreConfigError, match="cannot be a store"):
        open_store(f"{scheme}://bucket/{prefix}")
