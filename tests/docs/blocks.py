"""The fenced blocks of a page, with what an HTML comment before one says about it."""

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
    """A comment before a block that says nothing, or what nobody knows."""


@dataclass(frozen=True)
class Block:
    """`marker`: one of KINDS or "", `said`: what stands behind its colon. `line` counts from 1."""

    page: str
    line: int
    language: str
    text: str
    marker: str = ""
    said: str = ""

    @property
    def id(self) -> str:
        """For people."""
        return f"{self.page}:{self.line}"

    @property
    def script(self) -> str:
        """What a shell would be given: of a console the lines behind the prompt."""
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
        marker, said = _marker(page, text[: match.start()])
        line = text.count("\n", 0, match.start()) + 1
        body = textwrap.dedent(match[3])
        found.append(Block(page, line, match[2].strip(), body, marker, said))
    return found


def _marker(page: str, before: str) -> tuple[str, str]:
    comment = COMMENT.search(before)
    if comment is None:
        return "", ""
    kind, _, said = (part.strip() for part in comment[1].partition(":"))
    if kind not in KINDS:
        return "", ""
    if kind in NEEDS_WORDS and len(said) < 5:
        raise BadMarker(f"{page}: {comment[1]!r} says nothing behind a colon")
    return kind, said


def pages() -> list[str]:
    """Every page that people read, by its path; the decisions tell of the past and are not held to the present."""
    found = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
    return ["README.md", *(page for page in found if not page.startswith("docs/decisions/"))]


def all_blocks() -> list[Block]:
    """Of all pages."""
    return [block for page in pages() for block in blocks_of(page, read(page))]


def read(page: str) -> str:
    """Its text."""
    return (Path(ROOT) / page).read_text(encoding="utf-8")
