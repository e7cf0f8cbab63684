"""Downloads over HTTP: resumed after an interruption, verified, and made once for each machine."""

from baton.transfer.download import Report, RetryPolicy, Wants, checksum_of, download_path, fetch, verified

__all__ = ["Report", "RetryPolicy", "Wants", "checksum_of", "download_path", "fetch", "verified"]
