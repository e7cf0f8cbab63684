"""What the client of a store does without Baton, with as many threads: upload files, and download them again."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from worker.checkpointing.saved_folder import TRANSFERS

CHUNK = 1 << 20


class Directory:
    """Copies into a folder: an upload computes the SHA-256 and ends with fsync. A download is a plain copy."""

    uploads, downloads = "copy, SHA-256, fsync", "copy"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def upload(self, path: Path) -> None:
        """Stores the file under its name."""
        digest = hashlib.sha256()
        with path.open("rb") as source, (self._folder / path.name).open("wb", buffering=0) as target:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                target.write(chunk)
            os.fsync(target.fileno())

    def download(self, path: Path) -> None:
        """Writes the object of this name to `path`."""
        shutil.copyfile(self._folder / path.name, path)


class Bucket:
    """google-cloud-storage with its own settings: requests of 100 MiB, and its own checks of checksums."""

    uploads, downloads = "upload_from_filename", "download_to_filename"

    def __init__(self, host: str, bucket: str) -> None:
        anonymous: Any = AnonymousCredentials
        client = storage.Client(project=None, credentials=anonymous(), client_options={"api_endpoint": host})
        self._bucket = client.bucket(bucket)

    def upload(self, path: Path) -> None:
        """Stores the file under its name."""
        self._bucket.blob(path.name).upload_from_filename(path)

    def download(self, path: Path) -> None:
        """Writes the object of this name to `path`."""
        self._bucket.blob(path.name).download_to_filename(path)


def transfer(call: Callable[[Path], None], paths: Iterable[Path]) -> None:
    """Calls it for each path, in as many threads as a worker uses."""
    with ThreadPoolExecutor(TRANSFERS) as pool:
        for done in [pool.submit(partial(call, path)) for path in paths]:
            done.result()
