"""A real server of the S3 API (moto's) as a child process, for tests that need a bucket.

It keeps its objects in memory and enforces If-Match and If-None-Match (see s3_process.py). It does not verify
signatures.
"""

from __future__ import annotations

import contextlib
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.server_process import running_server


@dataclass(frozen=True)
class S3Server:
    """A running server with one empty bucket."""

    host: str
    """http://127.0.0.1:port, what AWS_ENDPOINT_URL should be."""
    bucket: str

    def store_url(self, prefix: str = "") -> str:
        """s3://bucket/prefix, for `open_store` and BATON_STORE."""
        return f"s3://{self.bucket}/{prefix}".rstrip("/")

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs in its environment to use this server."""
        return self.environ_at(self.host)

    def environ_at(self, host: str) -> dict[str, str]:
        """The same with a proxy's address."""
        return {
            "AWS_ENDPOINT_URL": host,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }


@contextlib.contextmanager
def s3_server(bucket: str = "baton-tests") -> Iterator[S3Server]:
    """Run a server, with the bucket made, until the block ends."""
    with running_server(_command, "/moto-api/") as host:
        with urllib.request.urlopen(
            urllib.request.Request(f"{host}/{bucket}", b"", method="PUT"), timeout=60
        ) as answer:
            assert answer.status == 200
        yield S3Server(host, bucket)


def _command(port: int) -> list[str]:
    return [sys.executable, "-P", str(Path(__file__).with_name("s3_process.py")), str(port)]
