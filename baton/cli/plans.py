"""Commands about plans: list them, and show a plan or a spec stage by stage."""

from __future__ import annotations

from typing import Annotated

import typer

from baton.cli.app import REFUSED, USAGE, Json, Sets, app, connect, console, fail
from baton.cli.plan_tables import (
    plan_facts,
    plan_stages,
    plans_notes,
    plans_table,
    stage_notes,
    totals_line,
)
from baton.cli.render import as_json
from baton.cli.spec_files import parse_sets, read_spec
from baton.client.client import Client
from baton.domain.overrides import apply_overrides
from baton.domain.plan_views import PlanView
from baton.domain.yaml_text import write_yaml


@app.command()
def plans(json: Json = False) -> None:
    """List the published plans."""
    with connect() as client:
        found = client.plans()
    if json:
        print(as_json(found))
        return
    console().print(plans_table(found))
    console().print(plans_notes(found))


@app.command()
def plan(
    name: Annotated[str, typer.Argument(metavar="PLAN|SPEC.yaml", help="A plan, a file, or - for standard input.")],
    sets: Sets = None,
    json: Json = False,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print only the spec, as a start for your own.")] = False,
) -> None:
    """Show the stages and the totals of a plan or a spec, without submitting it. Of a program: what it would run."""
    if json and as_yaml:
        fail("--json and --yaml cannot be used together: leave one of them out", USAGE)
    with connect() as client:
        found = _looked_up(client, name, sets or [])
    if json:
        print(as_json(found))
    elif as_yaml:
        print(write_yaml(found.spec), end="")
    else:
        _show(found)


def _looked_up(client: Client, name: str, sets: list[str]) -> PlanView:
    overrides, body = parse_sets(sets), read_spec(name)
    if body is not None:
        return client.preview(apply_overrides(body, overrides))
    known = {plan.name: plan for plan in client.plans()}
    if name not in known:
        fail(f"there is no plan '{name}'; there are: {', '.join(known) or 'none'}", REFUSED)
    return client.preview_plan(name, overrides) if overrides else known[name]


def _show(found: PlanView) -> None:
    screen = console()
    if "program" in found.spec:
        screen.print(plan_facts(found))
        return
    parts = (plan_facts(found), "", plan_stages(found.stages), totals_line(found), "", *stage_notes(found.stages))
    for part in parts:
        screen.print(part)
