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
        "s3://bucket",
        "gs://",
        "gs:///x",
        "gs://b/x?y",
    ],
)
def test_other_urls_are_refused_with_what_is_accepted(url: str) -> None:
    with pytest.raises(StoreConfigError, match="Use file:///absolute/directory or gs://bucket/prefix"):
        open_store(url)


@pytest.mark.parametrize("bucket", ["B_", "b k", "b"])
def test_what_is_no_bucket_name_is_refused(bucket: str) -> None:
    with pytest.raises(StoreConfigError, match="bucket name"):
        open_store(f"gs://{bucket}/x")


@pytest.mark.parametrize("prefix", ["../x", "a//b", "x" * 121])
def test_a_prefix_that_no_name_could_follow_is_refused(prefix: str) -> None:
    with pytest.raises(StoreConfigError, match="cannot be a store"):
        open_store(f"gs://bucket/{prefix}")
