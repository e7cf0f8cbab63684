"""`baton data`: pushes, lists, pulls and deletes data sets."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from baton.cli.app import USAGE, Group, Json, app, connect, console, fail, say
from baton.cli.render import as_json, table
from baton.cli.times import ago
from baton.client.client import Client
from baton.domain.data_reference import DataReference
from baton.domain.projects import DEFAULT
from baton.system.caches import megabytes

SHORT = 12
data = typer.Typer(
    cls=Group, no_args_is_help=True, help="Push, list, pull and delete data sets. A spec names one in dataset.data."
)
app.add_typer(data, name="data")
Reference = Annotated[
    str, typer.Argument(metavar="NAME[@DIGEST]", help="A name, or one version of it; the start of a digest is enough.")
]


@data.command()
def push(
    source: Annotated[Path, typer.Argument(metavar="FOLDER|ZIP", help="What to push.")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the data in specs; default: name of the folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Push a folder or zip. The same command resumes an interrupted push. Only what the store lacks is sent."""
    with connect() as client, _Bar() as bar:
        try:
            pushed = client.push_data(source, name, report=bar.show)
        except KeyboardInterrupt:
            say("interrupted; what was sent is kept; run the same command again to resume the push")
            raise
    if json:
        print(as_json(pushed))
        return
    what = f"{pushed.files:,} files" if pushed.files != 1 else "1 file"
    sent = f"sent {megabytes(pushed.sent_bytes)}" if pushed.sent_packs else "nothing to send: the store has all of it"
    say(f"{what}, {megabytes(pushed.bytes)}; {sent}")
    if pushed.left_out:
        say(f"left out {pushed.left_out} files and folders of the operating system, such as .DS_Store")
    print(DataReference(pushed.name, pushed.digest))
    say(f"in a spec: dataset: {{name: image-folder, data: {pushed.name}}}")


@data.command(name="list")
def list_data(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only the versions of this name.")] = None,
    json: Json = False,
) -> None:
    """List pushed data, newest first."""
    with connect() as client:
        found = list(client.data(None if name is None else _parsed(name).name))
    if json:
        print(as_json(found))
        return
    several = any(one.project != DEFAULT for one in found)
    columns = ("name", "digest", "files", "size", "age", "used", "by")
    made = table(*(("project",) if several else ()), *columns, right=("files", "size", "age", "used"))
    for one in found:
        made.add_row(
            *((one.project,) if several else ()),
            one.name,
            one.digest[:SHORT],
            f"{one.files:,}",
            megabytes(one.bytes),
            ago(one.created_at),
            ago(one.last_used_at),
            one.created_by,
        )
    console().print(made)


@data.command()
def pull(
    reference: Reference,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Target folder; created if it is missing.")],
    json: Json = False,
) -> None:
    """Write pushed data into a folder, and verify each file. The same command resumes an interrupted pull."""
    with connect() as client, _Bar() as bar:
        pulled = client.pull_data(_found(client, reference), folder, report=bar.show)
    if json:
        print(as_json(pulled))
        return
    kept = pulled.files - pulled.fetched_files
    say(f"{pulled.fetched_files:,} files written" + (f", {kept:,} were already there" if kept else ""))
    print(pulled.folder)


@data.command()
def delete(reference: Reference, json: Json = False) -> None:
    """Delete a version, or all versions of a name. The service refuses this while an unfinished job needs the data."""
    with connect() as client:
        deleted = client.delete_data(_found(client, reference))
    if json:
        print(as_json(deleted))
        return
    for one in deleted:
        print(f"deleted {DataReference(one.name, one.digest)}, {megabytes(one.bytes)}")


def _parsed(text: str) -> DataReference:
    try:
        return DataReference.parse(text)
    except ValueError as error:
        fail(f"{text!r} {error}", USAGE)


def _found(client: Client, text: str) -> str:
    """The complete reference. The command line also accepts the start of a digest, which is what the list shows."""
    name, sign, start = text.partition("@")
    start = start.removeprefix("sha256:")
    if not sign or len(start) == 64:
        return str(_parsed(f"{name}@sha256:{start}" if sign else name))
    fits = [one for one in client.data(_parsed(name).name) if one.digest.startswith(start)]
    if len(fits) != 1 or not start:
        fail(f"{len(fits)} versions of {name} have a digest that starts with {start!r}; see `baton data list`", USAGE)
    return str(DataReference(name, fits[0].digest))


class _Bar:
    """Progress bars on a terminal; otherwise a line for each 10 %."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        shown = Console(stderr=True)
        self._bar = Progress(*columns, TimeRemainingColumn(), console=shown) if shown.is_terminal else None
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, what: str, done: int, total: int) -> None:
        """Shows the bytes so far and in all."""
        if not total:
            return
        if self._bar is not None:
            if what not in self._tasks:
                self._tasks[what] = self._bar.add_task(what, total=total)
            self._bar.update(self._tasks[what], completed=done, total=total)  # type: ignore[arg-type]  # rich's TaskID is an int
        elif (tenth := 10 * done // total) > self._tasks.get(what, 0):
            self._tasks[what] = tenth
            say(f"{what}: {10 * tenth} % of {total:,} bytes")
