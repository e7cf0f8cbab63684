"""How Sphinx makes the site (`make docs`): from the same Markdown that is read in the repository, see decision 26."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s:]+)(#[^)\s]*)?\)")
SECTION = re.compile(r"^## (.+)\n((?:(?!^## ).*\n?)*)", re.MULTILINE)

project = "Baton"
author = "The Baton maintainers"
extensions = ["myst_parser"]
myst_heading_anchors = 4
nitpicky = True
# Blocks that no lexer can parse, such as JSON with an ellipsis, are shown without colours. tests/docs checks them.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = "Baton"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False


def setup(app: Any) -> None:
    """What Sphinx calls first."""
    app.connect("source-read", _prepare)


def _prepare(_app: Any, page: str, source: list[str]) -> None:
    text = LINK.sub(lambda match: _link(page, match), source[0])
    source[0] = text + _contents(text) if page.endswith("index") else text


def _link(page: str, match: re.Match[str]) -> str:
    """The unchanged link, or only its text if the link leads to a file that is not a page of the site."""
    target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), match[2]))
    if target.startswith("docs/") and not (ROOT / target).is_dir():
        return match[0]
    if not (ROOT / target).exists():
        raise FileNotFoundError(f"docs/{page}.md links to {match[2]}, which is not in the repository")
    return match[1] if "`" in match[1] or target.rstrip("/") in match[1] else f"{match[1]} (`{target}`)"


def _contents(text: str) -> str:
    """The site's navigation: for each section of the text, the pages that the section links to, in their order."""
    made = []
    for title, body in SECTION.findall(text) or [("", text)]:
        pages = dict.fromkeys(path.removesuffix(".md") for _, path, _ in LINK.findall(body) if path.endswith(".md"))
        caption = f":caption: {title}\n" if title else ""
        made += [f"```{{toctree}}\n:hidden:\n{caption}\n" + "\n".join(pages) + "\n```"] if pages else []
    return "\n\n" + "\n\n".join(made) + "\n"
