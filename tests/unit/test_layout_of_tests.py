"""Test modules share code only through helper modules, and use only declared markers."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import FIRST, OF_FIXTURE
from tests.support.process_guard import MARKERS
from tests.support.service import ROOT

MODULES = sorted((ROOT / "tests").rglob("*.py"))
IN_A_STRING = re.compile(r"\btests\.(?:\w+\.)*test_\w+")
OF_PYTEST = {"filterwarnings", "parametrize", "skip", "skipif", "timeout", "usefixtures", "xfail"}
"""Markers of pytest and of pytest-timeout."""


def imported_test_modules(source: str) -> Iterator[str]:
    """The test modules that a module imports, including imports in strings that are run as code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            paths = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = "tests" if node.level else ""
            paths = [".".join(filter(None, (package, node.module, alias.name))) for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            paths = [found[0] for found in IN_A_STRING.finditer(node.value)]
        else:
            continue
        yield from (path for path in paths if re.match(r"tests\b.*\.test_", path))


def used_markers(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pytest.mark":
            yield node.attr


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_module_imports_a_test_module() -> None:
    found = {named(path): [*imported_test_modules(path.read_text())] for path in MODULES}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from tests.{} import spec",
        "import tests.{}",
        "from tests import {}",
        "from . import {}",
        "X = 'import tests.{}'",
    ],
)
def test_each_form_of_an_import_is_found(source: str) -> None:
    assert [*imported_test_modules(source.format("test_x"))]
    assert not [*imported_test_modules(source.format("runs"))]


def test_every_marker_is_declared() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    declared = {line.partition(":")[0] for line in settings["markers"]}
    used = {(marker, named(path)) for path in MODULES for marker in used_markers(path.read_text())}
    assert {marker for marker, _ in used} >= {"parametrize", "slow"}
    assert {(marker, path) for marker, path in used if marker not in declared | OF_PYTEST} == set()
    assert {*FIRST, *OF_FIXTURE.values(), *MARKERS} <= declared
