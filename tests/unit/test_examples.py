"""The examples in the docstrings of `baton` give the results that they show."""

from __future__ import annotations

import doctest
import importlib
import re

import pytest

from tests.support.service import ROOT

MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "baton").rglob("*.py"))
    if re.search(r"^ +>>> ", path.read_text(), re.MULTILINE)
]
NEED_A_SERVICE = {"baton", "baton.client.client", "baton.client.errors", "baton.client.job"}
"""Run by tests/integration/test_sdk_examples.py."""


@pytest.mark.parametrize("name", sorted({*MODULES} - NEED_A_SERVICE))
def test_examples_give_what_they_show(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert (found.failed, found.attempted > 0) == (0, True)
