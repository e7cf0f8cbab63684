"""Files over HTTP: resumed where they broke off, checked as a whole, once for each machine."""

from baton.transfer.download import Patience, Report, Wants, checksum_of, download_path, fetch, verified

__all__ = ["Patience", "Report", "Wants", "checksum_of", "download_path", "fetch", "verified"]
