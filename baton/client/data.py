"""Calls of the Python SDK about pushed data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from baton.client.transport import Transport
from baton.domain.data_reference import DataReference
from baton.domain.data_views import DataPage, DataView
from baton.domain.views import Listing

if TYPE_CHECKING:
    from baton.client.pulling import DataPulled
    from baton.client.pushing.push import DataPushed

PAGE = 100


class DataCalls:
    """The calls about pushed data. Pushing and deleting need the scope `data`, the other calls need `read`. All raise
    `Unreachable` and `ApiError`.
    """

    _transport: Transport

    def push_data(
        self, source: str | Path, name: str | None = None, *, report: Callable[[str, int, int], None] | None = None
    ) -> DataPushed:
        """Pushes a folder or a zip as the newest version of `name`; None: the name of the folder. Sends only what the
        store lacks, so the same call resumes an interrupted push.

        `report`: called with "reading" or "sending", the bytes so far and the bytes in all.

        Raises:
            LocalDataError: files cannot be read or pushed, or have changed during the push. Nothing was published.
        """
        from baton.client.pushing.push import push  # imported here: it loads sqlite3, which most programs do not need

        return self._transport.blocking(push, Path(source).expanduser(), name, report)

    def pull_data(
        self, reference: str, folder: str | Path, *, report: Callable[[str, int, int], None] | None = None
    ) -> DataPulled:
        """Writes pushed data, NAME or NAME@sha256:DIGEST, into a folder. Files that the folder already has are kept.

        Raises:
            LocalDataError: the folder has other files with these names, or cannot be written.
            DownloadError: the bytes in the store are damaged.
        """
        from baton.client.pulling import pull

        return self._transport.blocking(pull, DataReference.parse(reference), Path(folder).expanduser(), report)

    def data(self, name: str | None = None) -> Iterator[DataView]:
        """Yields the versions of one name, or of all names, newest first. Loads them page by page."""
        path, cursor = f"/v1/data/{DataReference.parse(name).name}" if name else "/v1/data", None
        while True:
            answer = self._transport.request("GET", path, params={"limit": PAGE, "cursor": cursor})
            page = DataPage.model_validate_json(answer.content)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def delete_data(self, reference: str) -> list[DataView]:
        """Deletes one version, NAME@sha256:DIGEST, or all versions of a NAME. Returns the deleted versions.

        Raises:
            ApiError: status 409 if an unfinished job needs one of these versions.
        """
        wanted = DataReference.parse(reference)
        path = f"/v1/data/{wanted.name}" + (f"/{wanted.digest}" if wanted.digest else "")
        answer = self._transport.request("DELETE", path)
        return Listing[DataView].model_validate_json(answer.content).items
