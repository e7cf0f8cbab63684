"""The files of the generated pages."""

from __future__ import annotations

from pathlib import Path

from scripts.reference.commands import command_page
from scripts.reference.markdown import page
from scripts.reference.program import program_page
from scripts.reference.program_data import program_data_page
from scripts.reference.rest import rest_page
from scripts.reference.sdk import sdk_page
from scripts.reference.settings import settings_page
from scripts.reference.spec import spec_page
from scripts.reference.states import states_page

INTRODUCTION = """
Design decisions: one page for each, with its reasons, the measurements and the rejected alternatives.
"""


def generated(root: Path) -> dict[str, str]:
    """The text of each page by its path in the repository."""
    return {
        "docs/reference/command-line.md": command_page(),
        "docs/reference/rest.md": rest_page(),
        "docs/reference/job-spec.md": spec_page(),
        "docs/reference/settings.md": settings_page(),
        "docs/reference/python.md": sdk_page(),
        "docs/reference/program.md": program_page(),
        "docs/reference/program-data.md": program_data_page(),
        "docs/reference/states-and-events.md": states_page(),
        "docs/decisions/index.md": decisions_page(root / "docs/decisions"),
    }


def decisions_page(folder: Path) -> str:
    """The list of decisions, by number."""
    files = sorted(folder.glob("[0-9]*.md"))
    rows = [f"- [{file.read_text().splitlines()[0].removeprefix('# ')}]({file.name})" for file in files]
    return page("Decisions", INTRODUCTION, "\n".join(rows))
