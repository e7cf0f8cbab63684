"""The built documentation: no warnings, no broken links, no files from other servers, and generated pages are
current.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from baton.cli import app
from baton.domain.spec import JobSpec
from scripts.reference.commands import walk
from scripts.reference.pages import generated
from scripts.reference.rest import document
from tests.docs.blocks import blocks_of, pages, read
from tests.support.service import ROOT

pytestmark = pytest.mark.process

LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}


class Page(HTMLParser):
    """A page of the site: `ids` of its elements, `links`, and the files that a browser `loads`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.ids, self.links, self.loads = path, set[str](), list[str](), list[str]()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif (tag, name) == ("a", "href") and value:
                self.links.append(value)
            elif (tag, name) in LOADED and value:
                self.loads.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """All pages of the site, built with the command of `make docs`. A warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--fresh-env", "docs"]
    built = subprocess.run([*command, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    return {path: Page(path) for path in folder.rglob("*.html")}


@pytest.mark.docs
def test_every_page_is_in_it(site: dict[Path, Page]) -> None:
    names = {path.stem for path in site}
    assert {Path(page).stem for page in pages() if page != "README.md"} <= names


@pytest.mark.docs
def test_each_link_within_it_leads_somewhere(site: dict[Path, Page]) -> None:
    assert [f"{page.path.name}: {link}" for page in site.values() for link in _dead(page, site)] == []


def _dead(page: Page, site: dict[Path, Page]) -> Iterator[str]:
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
        known = site[target].ids if target in site else set()
        if not target.exists() or (parts.fragment and unquote(parts.fragment) not in known):
            yield link


@pytest.mark.docs
def test_a_dead_link_would_be_found(site: dict[Path, Page], tmp_path: Path) -> None:
    written = tmp_path / "x.html"
    written.write_text('<p id="here"><a href="#here">1</a><a href="#gone">2</a><a href="y.html">3</a>')
    page = Page(written)
    assert list(_dead(page, {written: page})) == ["#gone", "y.html"]


@pytest.mark.docs
def test_a_browser_asks_nobody_else(site: dict[Path, Page]) -> None:
    foreign = {one for page in site.values() for one in page.loads if urlsplit(one).netloc}
    styles = sorted(min(site, key=lambda path: len(path.parts)).parent.rglob("*.css"))
    assert styles
    assert foreign == set()
    assert [path for path in styles if re.search(r"url\(['\"]?(?:https?:)?//|@import", path.read_text())] == []


def test_what_the_code_can_tell_is_told_as_it_is() -> None:
    stale = [name for name, text in generated(ROOT).items() if (ROOT / name).read_text() != text]
    assert stale == [], "run `make docs`"


def test_the_generated_pages_hold_every_command_call_and_field() -> None:
    import typer

    commands = [name for name, _ in walk(typer.main.get_command(app))]
    assert [name for name in commands if f"## {name}\n" not in read("docs/reference/command-line.md")] == []
    calls = [f"### {method.upper()} {path}\n" for path, item in document()["paths"].items() for method in item]
    assert [call for call in calls if call not in read("docs/reference/rest.md")] == []
    assert [f for f in JobSpec.model_fields if f"| `{f}` |" not in read("docs/reference/job-spec.md")] == []


def test_every_field_of_a_reference_has_its_meaning() -> None:
    for page in ("job-spec", "settings"):
        rows = re.findall(r"^\| (`\w+`) .*\|\s*\|$", read(f"docs/reference/{page}.md"), re.MULTILINE)
        assert rows == [], page


@pytest.mark.parametrize("page", pages())
def test_a_page_begins_with_what_it_is_for(page: str) -> None:
    text = re.sub(r"^<!--.*?-->\s*", "", read(page))
    title, _, rest = text.partition("\n\n")
    first = rest.lstrip().partition("\n\n")[0]
    assert re.fullmatch(r"# .+", title)
    assert len(first.split()) >= 8, f"{page}: the first paragraph is {first!r}"
    assert not first.startswith(("```", "#", "|")), f"{page}: begin with a sentence about its purpose"
    assert blocks_of(page, first) == []
