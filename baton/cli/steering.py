"""Commands that change jobs: one, several, or all that match a filter."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from baton.cli.app import DONE, REFUSED, USAGE, Job, Json, Sets, app, connect, fail, say
from baton.cli.render import as_json
from baton.cli.spec_files import parse_sets
from baton.client.client import Client
from baton.client.find_job import find_job
from baton.domain.bulk_views import BulkPreview, BulkView

SHOWN = 20
Jobs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[JOB]...", help="Ids, starts of ids, or names. Or choose jobs with the options."),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="KEY=VALUE", help="All jobs with this label. Repeated: all of these labels."),
]
Statuses = Annotated[
    list[str] | None, typer.Option("--status", help="All jobs with this status. Repeated: any of these statuses.")
]
Name = Annotated[str | None, typer.Option("--name", help="All jobs with this name; * stands for any characters.")]
Every = Annotated[bool, typer.Option("--all", help="All jobs whose state allows the action.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before many jobs are changed.")]


def label_filter(text: str) -> str:
    """KEY=VALUE as the service expects it. Ends the command as bad usage for another form."""
    if not re.fullmatch(r"[^=:]+[=:][^=:]*", text):
        fail(f"--label needs KEY=VALUE, not '{text}'", USAGE)
    return text.replace("=", ":", 1)


@dataclass(frozen=True)
class Which:
    """The jobs that a command names, or the conditions by which it chooses them."""

    jobs: list[str] | None
    labels: list[str] | None = None
    statuses: list[str] | None = None
    name: str | None = None
    every: bool = False

    @property
    def by_filter(self) -> dict[str, Any]:
        """The selection for the service. Empty if the command names its jobs."""
        labels = [label_filter(one) for one in self.labels or ()]
        found = {"label": labels, "status": self.statuses, "name": self.name}
        chosen = {key: value for key, value in found.items() if value}
        if chosen:
            return {"filter": chosen}
        return {"all": True} if self.every else {}

    def check(self) -> None:
        """End the command as bad usage unless it names jobs or chooses them, and not both."""
        if self.name == "":
            fail("--name needs a name: an empty one would choose jobs of all names", USAGE)
        if not self.jobs and not self.by_filter:
            fail("name a JOB, or choose jobs with --label, --status, --name or --all", USAGE)
        if self.jobs and self.by_filter:
            fail("name jobs, or choose them with --label, --status, --name or --all, but not both", USAGE)


def steer(action: str, which: Which, *, yes: bool, json: bool, labels: Mapping[str, str | None] | None = None) -> None:
    """Do an action on the jobs of a command. Ends with exit status 4 if the state of a job did not allow the action.

    `action`: the name of an action of `POST /v1/jobs:bulk`. For a single job it is the name of a method of the client.
    `labels`: what the action `label` sets and removes.
    """
    which.check()
    with connect() as client:
        if which.jobs and len(which.jobs) == 1 and labels is None:
            asked = getattr(client, action)(find_job(client, which.jobs[0]).id)
            print(as_json(asked) if json else f"{asked.name} ({asked.id}) is {asked.status}")
            return
        if which.jobs:
            result = client.act_on_jobs(
                action, {"ids": [find_job(client, one).id for one in which.jobs]}, labels=labels
            )
        else:
            result = _by_filter(client, action, which, yes, labels)
    _report(action, result, json)


def _by_filter(
    client: Client, action: str, which: Which, yes: bool, labels: Mapping[str, str | None] | None
) -> BulkView:
    found = client.preview_jobs(action, which.by_filter, labels=labels)
    if not found.number:
        return BulkView()
    if not yes and not asks():
        fail(f"{_sentence(action, found)}\nNothing was changed: repeat the command with --yes", USAGE)
    if not yes and not typer.confirm(f"{_sentence(action, found)} Go on?", err=True):
        say("nothing was changed")
        raise typer.Exit(DONE)
    expect = None if found.more or yes else found.number
    return client.act_on_jobs(action, which.by_filter, labels=labels, expect=expect)


def asks() -> bool:
    """Whether a person can answer a question."""
    return sys.stdin.isatty()


def _sentence(action: str, found: BulkPreview) -> str:
    names = ", ".join(f"{one.name} ({one.id[:8]})" for one in found.jobs)
    others = ", ..." if found.more or found.number > len(found.jobs) else ""
    number = f"more than {found.number}" if found.more else found.number
    return f"{action}: {number} {'job' if found.number == 1 else 'jobs'}: {names}{others}."


def _report(action: str, result: BulkView, json: bool) -> None:
    if json:
        print(as_json(result))
    else:
        parts = [f"{result.done} done"]
        parts += [f"{result.unchanged} unchanged"] if result.unchanged else []
        parts += [f"{result.skipped} skipped"] if result.skipped else []
        print(f"{action}: {', '.join(parts)}")
        for one in result.reasons[:SHOWN]:
            say(f"  {one.name or one.id} ({one.id[:8]}): {one.why}")
        if result.skipped > SHOWN:
            say(f"  and {result.skipped - SHOWN} more")
    if result.skipped:
        raise typer.Exit(REFUSED)


def _add_command(action: str, text: str) -> None:
    """Add a command for an action that needs only the jobs as arguments. `text`: the help of the command."""

    @app.command(name=action, help=text)
    def run(
        jobs: Jobs = None,
        label: Labels = None,
        status: Statuses = None,
        name: Name = None,
        every: Every = False,
        yes: Yes = False,
        json: Json = False,
    ) -> None:
        steer(action, Which(jobs, label, status, name, every), yes=yes, json=json)


_add_command("pause", "Pause jobs: each saves its state and releases its worker.")
_add_command("resume", "Continue paused jobs.")
_add_command("cancel", "Cancel jobs. Only a retry continues a cancelled job.")
_add_command("retry", "Continue failed or cancelled jobs from their last good checkpoints.")


@app.command(name="label")
def label_jobs(
    words: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE|KEY-... [JOB]...", help="Labels to set (team=vision) or to remove (team-)."),
    ],
    label: Labels = None,
    status: Statuses = None,
    name: Name = None,
    every: Every = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Set and remove labels of jobs, e.g. `baton label team=vision draft- JOB`."""
    labels: dict[str, str | None] = {}
    jobs = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals:
            labels[key] = value
        elif word.endswith("-"):
            labels[word[:-1]] = None
        else:
            jobs.append(word)
    if not labels:
        fail("name at least one label: KEY=VALUE sets it, KEY- removes it", USAGE)
    steer("label", Which(jobs, label, status, name, every), yes=yes, json=json, labels=labels)


@app.command()
def edit(
    job: Job,
    sets: Sets = None,
    note: Annotated[str | None, typer.Option("--note", help="Replace the notes of the job; '' removes them.")] = None,
    protect: Annotated[
        bool | None, typer.Option("--protect/--no-protect", help="Whether retention keeps the job.")
    ] = None,
    json: Json = False,
) -> None:
    """Change name, labels, notes, priority, limits, notify, checkpoint or retry of a job."""
    changes = _nested(parse_sets(sets or []))
    if note is not None:
        changes["notes"] = note or None
    if protect is not None:
        changes["protected"] = protect
    if not changes:
        fail("name a change: --set PATH=VALUE, --note TEXT, --protect or --no-protect", USAGE)
    with connect() as client:
        changed = client.change(find_job(client, job).id, changes)
    print(as_json(changed) if json else f"{changed.name} ({changed.id}) is changed: {', '.join(changes)}")


def _nested(sets: Mapping[str, object]) -> dict[str, Any]:
    """The merge patch of `--set` paths. A label's name may contain dots."""
    found: dict[str, Any] = {}
    for path, value in sets.items():
        *above, last = path.split(".", 1) if path.startswith("labels.") else path.split(".")
        node = found
        for key in above:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                fail(f"--set {path}: another --set gives {key} a value without fields", USAGE)
        node[last] = value
    return found
