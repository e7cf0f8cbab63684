"""Every block of README.md and docs/ is right as far as can be checked without running it, and a marker has a
reason.
"""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.docs import checks
from tests.docs.blocks import COMMANDS, BadMarker, Block, all_blocks, blocks_of, pages, read
from tests.support.service import ROOT

pytestmark = pytest.mark.process

ALL = all_blocks()
LANGUAGES = {*COMMANDS, "python", "pycon", "yaml", "json", "text", "toml", "sql", "js", "dockerfile", "http"}


@pytest.mark.parametrize("block", ALL, ids=lambda block: block.id)
def test_a_block_says_what_is_true(block: Block) -> None:
    assert block.language in LANGUAGES, f"{block.id}: name the language of this block (`text` is not checked)"
    assert checks.findings(block) == []
    if block.language == "toml":
        tomllib.loads(block.text)


def test_no_command_hides_in_a_block_of_text() -> None:
    texts = [one for one in ALL if one.language == "text" and one.page != "docs/reference/command-line.md"]
    assert [one.id for one in texts if re.search(r"^(\$ |baton |make |curl |docker )", one.text, re.MULTILINE)] == []


@pytest.mark.parametrize("page", pages())
def test_a_page_names_no_variable_that_nothing_reads(page: str) -> None:
    assert checks.variables(read(page)) == []


@pytest.mark.parametrize(("name", "file"), checks.OTHERS.items())
def test_what_no_settings_class_has_is_read_somewhere(name: str, file: str) -> None:
    assert name in (ROOT / file).read_text()


@pytest.mark.parametrize("page", pages())
def test_commands_within_sentences_are_commands(page: str) -> None:
    inline = re.findall(r"(?<!`)`(baton [a-z][^`\n]*)`(?!`)", re.sub(r"```.*?```", "", read(page), flags=re.DOTALL))
    told = [one for one in inline if not re.search(r"COMMAND|\.\.\.|…|\|", one)]
    wrong = [found for one in told for words in checks.invocations(one) if (found := checks.usage(words))]
    # A sentence may name a command or an option without its arguments.
    assert [one for one in wrong if not re.search("Missing parameter|requires an argument", one)] == []


def test_a_mark_that_names_a_test_names_one_that_is_there() -> None:
    named = {path for one in ALL for path in re.findall(r"\btests/[\w/]+(?:\.py)?", one.argument)}
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("mark", ["not run", "not run:", "not run: x", "not a spec", "write:"])
def test_a_mark_without_a_reason_is_refused(mark: str) -> None:
    with pytest.raises(BadMarker):
        blocks_of("page.md", f"<!-- {mark} -->\n```sh\ntrue\n```\n")


def test_a_mark_counts_for_the_block_right_below_it_alone() -> None:
    text = "<!-- not run: a cloud account -->\n```sh\ntrue\n```\n\n```sh\nfalse\n```\n"
    assert [(one.marker, one.text) for one in blocks_of("page.md", text)] == [("not run", "true\n"), ("", "false\n")]


@pytest.mark.parametrize(
    ("language", "text", "complaint"),
    [
        ("sh", "if true; then\n", "syntax error"),
        ("sh", "baton submitt digits-demo\n", "submitt"),
        ("sh", "true && .venv/bin/baton submit digits-demo --sett seed=7 | cat\n", "--sett"),
        ("sh", "x=$(baton token create)\n", "Missing parameter"),
        ("console", "$ baton list --limit many\nsubmitted\n", "many"),
        ("python", "from baton import Klient\n", "Klient"),
        ("python", "for\n", "invalid syntax"),
        ("yaml", "seed: none\n", "seed"),
        ("yaml", "stages: [{epoch: 1}]\n", "stages.0.epoch"),
    ],
)
def test_what_is_wrong_is_found(language: str, text: str, complaint: str) -> None:
    (block,) = blocks_of("page.md", f"```{language}\n{text}```\n")
    assert complaint in " ".join(checks.findings(block))


def test_a_variable_that_nothing_reads_is_found() -> None:
    assert checks.variables("BATON_TOKEN and `BATON_TOKKEN`") == ["BATON_TOKKEN"]
