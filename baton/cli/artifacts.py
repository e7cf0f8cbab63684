"""`baton artifacts`: lists and downloads a job's files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from baton.cli.app import REFUSED, USAGE, Job, Json, app, connect, console, fail, say
from baton.cli.render import artifacts_table, as_json
from baton.client.find_job import find_job


@app.command()
def artifacts(
    job: Job,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME ...]", help="All files if not given.")] = None,
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Download into this directory.")] = None,
    json: Json = False,
) -> None:
    """List a job's files, or download them with --to."""
    with connect() as client:
        found = find_job(client, job)
        listed = client.artifacts(found.id)
        wanted = [a for a in listed if not names or a.name in names]
        if missing := set(names or []) - {a.name for a in listed}:
            known = ", ".join(a.name for a in listed) or "none yet"
            fail(f"{found.name} has no {', '.join(sorted(missing))}; it has: {known}", REFUSED)
        if to is None:
            print(as_json(wanted)) if json else console().print(artifacts_table(wanted))
            if not listed:
                say(f"{found.name} has no files yet" if found.finished_at is None else f"{found.name} has no files")
            return
        folder = _folder(to)
        for artifact in wanted:
            print(client.download(found.id, artifact.name, folder / artifact.name))


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"cannot create {path}: {error.strerror}; choose another directory with --to", USAGE)
    return path
