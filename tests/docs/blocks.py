"""The fenced blocks of a page, with the HTML comment before each."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.service import ROOT

FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--((?:(?!-->).)*)-->[ \t]*\n\Z", re.DOTALL)
KINDS = ("not run", "not a spec", "write", "part of", "one a line")
NEEDS_WORDS = ("not run", "not a spec", "write", "part of")
COMMANDS = ("sh", "console")


class BadMarker(ValueError):
    """A comment before a block that is empty or unknown."""


@dataclass(frozen=True)
class Block:
    """A fenced block. `marker`: one of KINDS or "". `argument`: the text after the marker's colon. `line`: from 1."""

    page: str
    line: int
    language: str
    text: str
    marker: str = ""
    argument: str = ""

    @property
    def id(self) -> str:
        """The page and the line, for messages."""
        return f"{self.page}:{self.line}"

    @property
    def script(self) -> str:
        """The commands for a shell. Of a console block, these are the lines after the prompt."""
        return self.text if self.language != "console" else "\n".join(_typed(self.text))


def _typed(text: str) -> Iterator[str]:
    goes_on = False
    for line in text.splitlines():
        if goes_on or line.startswith("$ "):
            yield line if goes_on else line[2:]
            goes_on = line.endswith("\\")


def blocks_of(page: str, text: str) -> list[Block]:
    """All blocks of a page. Raises BadMarker."""
    found = []
    for match in FENCE.finditer(text):
        marker, argument = _marker(page, text[: match.start()])
        line = text.count("\n", 0, match.start()) + 1
        body = textwrap.dedent(match[3])
        found.append(Block(page, line, match[2].strip(), body, marker, argument))
    return found


def _marker(page: str, before: str) -> tuple[str, str]:
    comment = COMMENT.search(before)
    if comment is None:
        return "", ""
    kind, _, argument = (part.strip() for part in comment[1].partition(":"))
    if kind not in KINDS:
        return "", ""
    if kind in NEEDS_WORDS and len(argument) < 5:
        raise BadMarker(f"{page}: {comment[1]!r} says nothing behind a colon")
    return kind, argument


def pages() -> list[str]:
    """The paths of all pages. Decisions are left out, because they describe the past."""
    found = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
    return ["README.md", *(page for page in found if not page.startswith("docs/decisions/"))]


def all_blocks() -> list[Block]:
    """The blocks of all pages."""
    return [block for page in pages() for block in blocks_of(page, read(page))]


def read(page: str) -> str:
    """The text of a page."""
    return (Path(ROOT) / page).read_text(encoding="utf-8")
