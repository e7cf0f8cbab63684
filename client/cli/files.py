"""Commands about files and plans."""

from __future__ import annotations

import json as json_lib
from pathlib import Path
from typing import Annotated

import typer
import yaml

from client.cli.app import REFUSED, USAGE, Job, Json, app, connect, console, fail
from client.cli.render import artifacts_table, as_json, table
from client.resolve import find_job


@app.command()
def artifacts(
    job: Job,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME ...]", help="All, if none is named.")] = None,
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
            return
        folder = _folder(to)
        for artifact in wanted:
            print(client.download(found.id, artifact.name, folder / artifact.name))


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"cannot make {path}: {error.strerror}; choose another directory with --to", USAGE)
    return path


@app.command()
def plans(json: Json = False) -> None:
    """List the published plans."""
    with connect() as client:
        found = client.plans()
    if json:
        print(as_json(found))
        return
    made = table("plan", "what it is", wrap="what it is")
    for plan in found:
        made.add_row(plan.name, plan.title)
    console().print(made)


@app.command()
def plan(name: Annotated[str, typer.Argument(metavar="NAME")], json: Json = False) -> None:
    """Show a plan's spec, as YAML to start an own one from."""
    with connect() as client:
        found = {p.name: p for p in client.plans()}
    if name not in found:
        fail(f"there is no plan '{name}'; there are: {', '.join(found) or 'none'}", REFUSED)
    spec = found[name].spec
    print(json_lib.dumps(spec, indent=2) if json else yaml.safe_dump(spec, sort_keys=False, width=100), end="")
