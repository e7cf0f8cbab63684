"""The files that callbacks of Keras write: they belong to a save, because the next machine may not have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from keras.src.utils import file_utils


def rows_of(logger: Any, *, ended: bool) -> dict[str, Any] | None:
    """The file of a CSVLogger so far. `on_train_begin` of the next process deletes it, or appends to it.

    `ended`: the training has ended, so the file is closed.
    """
    closed = logger.csv_file is None or logger.csv_file.closed
    if closed and not (ended and Path(logger.filename).is_file()):
        return None
    if not closed:
        logger.csv_file.flush()
    return {"content": Path(logger.filename).read_bytes(), "keys": logger.keys}


def put_rows_back(logger: Any, rows: dict[str, Any] | None, *, ended: bool) -> None:
    """Make the file as it was. If the training goes on, open it again."""
    if rows is None:
        return
    if ended:
        _write(Path(logger.filename), rows["content"])
        logger.keys = rows["keys"]
        return
    logger.csv_file.close()
    Path(logger.filename).write_bytes(rows["content"])
    # Keras's own function for files: it sets the newline mode that the CSV writer was made with.
    logger.csv_file = file_utils.File(logger.filename, "a")
    logger.keys, logger.writer = rows["keys"], None
    logger.append_header = not rows["content"]


class WrittenFile:
    """The newest file of a ModelCheckpoint."""

    def __init__(self, callback: Any) -> None:
        self._paths: list[str] = []
        self._read: tuple[tuple[int, int], Any] | None = None
        original = callback._get_file_path

        def remembered(*args: Any, **kwargs: Any) -> str:
            path = str(original(*args, **kwargs))
            if path not in self._paths[-1:]:
                self._paths = [*[one for one in self._paths if Path(one).is_file()][-1:], path]
                self._read = None
            return path

        callback._get_file_path = remembered

    def capture(self) -> dict[str, Any] | None:
        """Its path and content."""
        for path in reversed(self._paths):
            file = Path(path)
            if file.is_file():
                status = file.stat()
                version = (status.st_mtime_ns, status.st_size)
                if self._read is None or self._read[0] != version:
                    self._read = version, np.fromfile(file, np.uint8)
                return {"path": path, "content": self._read[1]}
        return None

    def restore(self, saved: dict[str, Any] | None) -> None:
        """Make the file as it was: it may be missing, or a later call of `fit` may have written it."""
        if saved is None:
            return
        self._paths = [saved["path"]]
        _write(Path(saved["path"]), saved["content"].tobytes())


def _write(file: Path, content: bytes) -> None:
    """Replace the file as a whole, unless it has this content."""
    if file.is_file() and file.stat().st_size == len(content) and file.read_bytes() == content:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_bytes(content)
    part.replace(file)
