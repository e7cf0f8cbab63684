"""`baton report`: downloads a job's report."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from baton.cli.app import REFUSED, USAGE, Job, app, connect, fail
from baton.client.client import Client
from baton.client.find_job import find_job
from baton.domain.views import ArtifactView, JobView

PAGE, TEXT = "report.html", "report.md"


@app.command()
def report(
    job: Job,
    out: Annotated[Path | None, typer.Option(metavar="DIR|FILE", help="Target; default: this directory.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown with its figures, in a directory.")] = False,
    opened: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Save a job's report as one HTML file. A running job has a preliminary one."""
    with connect() as client:
        found = find_job(client, job)
        listed = {artifact.name: artifact for artifact in client.artifacts(found.id)}
        _need(listed, found, TEXT if markdown else PAGE)
        saved = _save_markdown(client, found, listed, out) if markdown else _save_page(client, found, out)
    print(saved)
    if opened:
        webbrowser.open(saved.resolve().as_uri())


def _need(listed: dict[str, ArtifactView], job: JobView, name: str) -> None:
    if name in listed:
        return
    if name == TEXT and PAGE in listed:
        fail(f"{job.name} has only report.html so far: Markdown is written when the job ends", REFUSED)
    if "program" in job.spec:
        fail(f"{job.name} is a program, which has no report; its files: `baton artifacts {job.id[:8]}`", REFUSED)
    why = "none was written"
    if job.finished_at is None:
        why = "a worker writes it after the first finished epoch, on a busy machine some minutes later"
    hint = f"`baton events {job.id[:8]}` shows report_failed if it could not be made"
    fail(f"{job.name} ({job.status}) has no report: {why}; {hint}", REFUSED)


def _save_page(client: Client, job: JobView, out: Path | None) -> Path:
    target = out or Path()
    if target.is_dir() or not target.suffix:
        target = target / f"{job.name}-report.html"
    return client.download(job.id, PAGE, _with_folder(target))


def _save_markdown(client: Client, job: JobView, listed: dict[str, ArtifactView], out: Path | None) -> Path:
    folder = out or Path(f"{job.name}-report")
    if folder.suffix == ".md" or folder.is_file():
        fail(f"--markdown writes several files: give --out a directory, not {folder}", USAGE)
    for name in sorted(listed):
        if name == TEXT or (name.startswith("report-") and name.endswith(".png")):
            client.download(job.id, name, _with_folder(folder / name))
    return folder / TEXT


def _with_folder(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"cannot create {target.parent}: {error.strerror}; choose another place with --out", USAGE)
    return target
