"""The table of attacks in the documentation names exactly the tests of this folder."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.support.service import ROOT

TABLE = ROOT / "docs/explanation/security.md"
HERE = Path(__file__)
ROW = re.compile(r"^\| (?P<attack>[^|]+) \| (?P<got>[^|]+) \| (?P<tests>(?:`tests/[\w/]+\.py::\w+`(?:, )?)+) \|$", re.M)


def named() -> list[str]:
    """All tests that the rows of the table name."""
    return [one for row in ROW.finditer(TABLE.read_text()) for one in re.findall(r"`([^`]+)`", row["tests"])]


def names_in(path: Path) -> set[str]:
    found = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    return {node.name for node in found if node.name.startswith("test_")}


def test_each_row_names_tests_that_are_there() -> None:
    assert len(named()) > 60
    for one in named():
        path, _, name = one.partition("::")
        assert name in names_in(ROOT / path), f"{one} is not a test"


def test_each_row_of_the_tables_can_be_read() -> None:
    text = TABLE.read_text().partition("## Attacks")[2]
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`tests/" in line]
    assert [line for line in rows if not ROW.fullmatch(line)] == []


def test_each_test_has_a_row() -> None:
    wanted = {
        f"tests/security/{path.name}::{name}"
        for path in HERE.parent.glob("test_*.py")
        if path != HERE
        for name in names_in(path)
    }
    assert wanted - set(named()) == set()
