"""Downloads over HTTP. They are resumed after an interruption, verified, and made once on each machine."""

from baton.transfer.download import (
    Report,
    RetryPolicy,
    Version,
    Wants,
    checksum_of,
    download_path,
    fetch,
    verified,
    version_of,
)

__all__ = [
    "Report",
    "RetryPolicy",
    "Version",
    "Wants",
    "checksum_of",
    "download_path",
    "fetch",
    "verified",
    "version_of",
]
