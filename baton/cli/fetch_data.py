"""`baton fetch`: downloads a data set, for the workers of this machine or for other uses. Needs no service."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from baton.cli.app import REFUSED, USAGE, app, fail, say
from baton.domain.catalog import DATASETS
from baton.domain.downloads import Download
from baton.system.caches import default_cache
from baton.transfer import Wants, download_path, fetch, verified

_ADVICE = "choose another directory with --to"


@app.command("fetch")
def fetch_dataset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set, such as tiny-imagenet-200.")],
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Target directory; default: the cache of this machine's workers.")
    ] = None,
    url: Annotated[
        str,
        typer.Option(metavar="URL", envvar="BATON_TINY_IMAGENET_URL", help="A mirror of the default source."),
    ] = "",
    checksum: Annotated[
        str,
        typer.Option(metavar="SUM", envvar="BATON_TINY_IMAGENET_CHECKSUM", help="md5:..., sha256:... or none."),
    ] = "",
    cache: Annotated[Path | None, typer.Option(envvar="BATON_CACHE", hidden=True)] = None,
) -> None:
    """Download a data set. An interrupted download is resumed."""
    source = _source(name, url, checksum)
    file = to.expanduser() / source.file if to else download_path(source, cache or default_cache())
    if file.is_file() and (trouble := verified(file, source)):
        fail(f"{file} exists, but it is another file: {trouble}; move it away, or {_ADVICE}", REFUSED)
    with _Bar(source.file) as bar:
        fetch(source, file, Wants(report=bar.show, advice=_ADVICE))
    say(f"complete, {source.checksum}" if source.checksum else "complete; its checksum is not known")
    print(file)
    if to:
        say(f"in a spec: dataset: {{name: {name}, path: {file.resolve()}}}")
    else:
        say(f"workers of this machine use it with dataset: {{name: {name}, download: true}}")


def _source(name: str, url: str, checksum: str) -> Download:
    known = {info.name: info.download for info in DATASETS.values() if info.download is not None}
    if name not in known:
        fail(f"'{name}' is no data set to download; choose one of: {', '.join(known)}", USAGE)
    try:
        return known[name].changed(url, checksum)
    except ValueError as error:
        fail(f"--url and --checksum: {error}", USAGE)


class _Bar:
    """A progress bar on a terminal; otherwise a line for each 10 %."""

    def __init__(self, name: str) -> None:
        self._name, self._tenth = name, -1
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        console = Console(stderr=True)
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console) if console.is_terminal else None
        self._task = self._bar.add_task(name, total=None) if self._bar else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, done: int, total: int | None) -> None:
        """Shows the bytes so far and the total, if known."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)
        elif total and (tenth := 10 * done // total) > self._tenth:
            self._tenth = tenth
            say(f"{self._name}: {10 * tenth} % of {total:,} bytes")
