"""Lists the objects of a bucket, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import obstore

from baton.storage.object_vendors import Client

if TYPE_CHECKING:
    from obstore import ObjectMeta  # a type that does not exist at run time

_PAGE = 1000


def objects_in(
    client: Client,
    folder: str | None,
    call: Callable[[Callable[[], Sequence[ObjectMeta]]], Sequence[ObjectMeta]],
) -> Iterator[ObjectMeta]:
    """Yield the objects below a folder, None for all, sorted by name.

    `call` makes one request and repeats it after transient errors. A repeated request continues after the last object.
    """
    pages = _Pages(client, folder)
    while page := call(pages.following):
        yield from page


class _Pages:
    def __init__(self, client: Client, folder: str | None) -> None:
        self._client, self._folder = client, folder
        self._last: str | None = None
        self._stream: Iterator[Sequence[ObjectMeta]] | None = None

    def following(self) -> Sequence[ObjectMeta]:
        """Return the next objects, or none at the end. Can be called again after an error."""
        try:
            if self._stream is None:
                self._stream = iter(obstore.list(self._client, self._folder, offset=self._last, chunk_size=_PAGE))
            page = next(self._stream, ())
        except Exception:
            self._stream = None
            raise
        self._last = page[-1]["path"] if page else self._last
        return page
