"""`baton doctor` tries the bucket in BATON_STORE, and says what the server behind it does not do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from baton.cli.doctor import Finding, store
from tests.contract.flaky_proxy import FlakyProxy, flaky_proxy
from tests.support.s3 import S3Server, s3_server

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def proxy(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyProxy]:
    with flaky_proxy(s3.host) as running:
        for name, value in {**s3.environ_at(running.host), "BATON_STORE": s3.store_url("x")}.items():
            monkeypatch.setenv(name, value)
        yield running


def test_a_store_that_does_all_is_ok(proxy: FlakyProxy) -> None:
    text = "s3://baton-tests/x answers; conditional writes and checksums work"
    assert list(store()) == [Finding("ok", "store", text)]


@pytest.mark.parametrize(
    ("header", "words"), [("if-none-match", "ignores conditional writes"), ("x-amz-meta-", "drops the metadata")]
)
def test_what_a_server_ignores_is_told(proxy: FlakyProxy, header: str, words: str) -> None:
    proxy.ignored = (header,)
    (finding,) = store()
    assert finding.verdict == "bad"
    assert f"s3://baton-tests/x cannot be used: it {words}" in finding.text


def test_a_bucket_that_is_missing_is_told(proxy: FlakyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_STORE", "s3://no-such-bucket")
    (finding,) = store()
    assert (finding.verdict, "run `aws s3 mb s3://no-such-bucket`" in finding.text) == ("bad", True)


@pytest.mark.parametrize("url", ["", "file:///srv/store"])
def test_without_a_bucket_nothing_is_tried(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_STORE", url)
    assert list(store()) == []
