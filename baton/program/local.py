"""A run without a worker: all state is in a local folder, by default `.baton-run`."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from baton.domain.durations import parse_duration
from baton.program.backend import Mark, Point, Saved, SaveRequest
from baton.program.errors import ProgramError
from baton.program.forks import child_hint
from baton.program.local_saves import LocalSaves
from baton.program.local_tables import History, Series, replace_file
from baton.system.caches import sync_directory

log = logging.getLogger(__name__)

FOLDER = ".baton-run"
FORMAT = 1
FOLDER_VARIABLE = "BATON_RUN_DIR"
EVERY_VARIABLE, KEEP_VARIABLE = "BATON_SAVE_EVERY", "BATON_SAVE_KEEP"
PARAMS_VARIABLE, DATA_VARIABLE = "BATON_PARAMS", "BATON_DATA"
_EVERY, _KEEP = "60s", "3"


class LocalBackend:
    """The folder of a run: `saves/`, `history.csv`, `series.csv`, `published/`, `notes.txt`, `run.json`.

    Only one process at a time uses it. Rows and points that do not belong to the newest save are cut off, because the
    program will make them again.

    Raises:
        ProgramError: another process uses the folder, it cannot be written, a newer version of Baton made it, or a
            setting is invalid.
    """

    def __init__(self, folder: Path, params: Mapping[str, Any], data: Mapping[str, str | os.PathLike[str]]) -> None:
        self.job: str | None = None
        self.params = {**params, **_json_of_environment(PARAMS_VARIABLE)}
        self._data = {**data, **{name: str(path) for name, path in _json_of_environment(DATA_VARIABLE).items()}}
        self._folder = folder
        try:
            self._open(folder)
        except OSError as error:
            raise ProgramError(
                f"{folder} cannot be the folder of the run: {error}. Use another one: baton.init(folder=...)"
            ) from error

    def _open(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder)
        self.attempt = _count_attempt(folder)
        self._saves = LocalSaves(folder / "saves", _keep())
        found = self._saves.newest()
        self.saved: Saved | None = found[0] if found else None
        mark = self._restored = found[1] if found else Mark(None, None)
        self._series = Series(folder / "series.csv", mark.points)
        self._history = History(folder / "history.csv", mark.extra.get("history_rows", 0))
        self._last_epoch = mark.last_epoch
        sync_directory(folder)

    def tell_where_it_begins(self) -> None:
        """Says that the run continues, or that nothing was saved: on stderr, unless `logging` is set otherwise."""
        if self.saved is not None:
            log.warning(
                "baton: continues at step %d of %s (delete the folder to start again)", self.saved.step, self._folder
            )
        elif self.attempt > 1:
            log.warning("baton: an earlier start in %s left no save: the run begins at step 0", self._folder)

    def data(self, name: str) -> Path:
        """The path that was given to `init`, else `data/NAME` in the working directory."""
        path = Path(self._data.get(name, Path("data") / name))
        if not path.exists():
            raise ProgramError(f"data {name!r}: {path} does not exist; create it, or use init(data={{{name!r}: PATH}})")
        return path.absolute()

    def log(self, points: list[Point]) -> None:
        """Appends to series.csv."""
        self._series.add(points)

    def epoch(self, epoch: int, step: int, metrics: dict[str, float]) -> None:
        """Appends to history.csv."""
        self._history.add(epoch, step, metrics)
        self._last_epoch = epoch

    def new_folder(self) -> Path:
        """A folder in `saves/`."""
        return self._saves.new_folder()

    def mark(self) -> Mark:
        """The size of series.csv and the number of rows of history.csv."""
        return Mark(self._series.size(), self._last_epoch, {"history_rows": len(self._history)})

    def commit(self, folder: Path, save: SaveRequest, mark: Mark, _stall: float) -> None:
        """Renames the folder when everything in it, and the points before it, are on the disk."""
        self._series.sync()
        self._saves.commit(folder, save, mark)

    def publish(self, name: str, path: Path) -> None:
        """Copies the file to `published/NAME`."""
        published = self._folder / "published"
        published.mkdir(exist_ok=True)
        part = published / f".{name}.part"
        with path.open("rb") as source, part.open("wb") as out:
            shutil.copyfileobj(source, out, 2**20)
            out.flush()
            os.fsync(out.fileno())
        part.replace(published / name)
        sync_directory(published)

    def progress(self, step: int | None, total: int | None, epoch: int | None, epochs: int | None) -> None:
        """Nothing: only a worker shows it."""

    def note(self, text: str) -> None:
        """Appends to notes.txt."""
        with (self._folder / "notes.txt").open("a", encoding="utf-8", errors="backslashreplace") as out:
            out.write(text.replace("\n", " ") + "\n")

    def stopped(self, step: int | None) -> None:
        """Says how to continue."""
        where = "nothing is saved" if step is None else f"step {step} is saved"
        print(f"baton: stopped; {where} in {self._folder}. Start the program again to continue.", file=sys.stderr)

    def close(self) -> None:
        """Writes the remaining points, and lets other processes use the folder."""
        self._series.close()
        self._lock.close()

    def abandon(self) -> None:
        """Closes the lock file. The lock itself is the parent's and stays."""
        self._lock.close()


def save_every() -> float:
    """Seconds between saves of a local run: BATON_SAVE_EVERY.

    Raises:
        ProgramError: it is not a duration.
    """
    text = os.environ.get(EVERY_VARIABLE, _EVERY)
    try:
        return max(0.0, float(text) if text.strip().isdecimal() else parse_duration(text))
    except ValueError as error:
        raise ProgramError(f"{EVERY_VARIABLE}={text}: {error}") from None


def _keep() -> int:
    text = os.environ.get(KEEP_VARIABLE, _KEEP)
    if not text.isdecimal() or int(text) < 1:
        raise ProgramError(f"{KEEP_VARIABLE}={text}: must be a whole number of at least 1")
    return int(text)


def run_folder(given: Path | None) -> Path:
    """The folder of a run: BATON_RUN_DIR, else the one that was given to `init`, else `.baton-run`."""
    return Path(os.environ.get(FOLDER_VARIABLE) or given or FOLDER)


def _json_of_environment(variable: str) -> dict[str, Any]:
    text = os.environ.get(variable, "").strip() or "{}"
    try:
        found = json.loads(text if text.startswith("{") else Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProgramError(f"{variable}: must be a JSON object, or the path of a file with one: {error}") from None
    if not isinstance(found, dict):
        raise ProgramError(f"{variable}: must be a JSON object, not {type(found).__name__}")
    return found


def _locked(folder: Path) -> TextIO:
    handle = (folder / "lock").open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read().strip() or "another process"
        handle.close()
        raise ProgramError(
            f"{folder} is in use by {holder}; end it, or use another folder: baton.init(folder=...){child_hint()}"
        ) from None
    handle.truncate(0)
    handle.write(f"process {os.getpid()}\n")
    handle.flush()
    return handle


def _count_attempt(folder: Path) -> int:
    file = folder / "run.json"
    try:
        content = json.loads(file.read_bytes()) if file.exists() else {"format": FORMAT, "attempts": 0}
        if content["format"] != FORMAT:
            raise ProgramError(f"{file}: format {content['format']} needs a newer version of Baton")
        attempt = int(content["attempts"]) + 1
    except (ValueError, KeyError, TypeError) as error:
        raise ProgramError(f"{file} is damaged ({error}); delete {folder} to start from the beginning") from None
    replace_file(file, json.dumps({"format": FORMAT, "attempts": attempt}).encode())
    return attempt
