"""The examples in the docstrings of `baton` give the results that they show."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.support.docstring_examples import MODULES, NEED_A_FRAMEWORK, NEED_A_SERVICE, NEED_KERAS


@pytest.mark.parametrize("name", sorted({*MODULES} - NEED_A_SERVICE - NEED_A_FRAMEWORK - NEED_KERAS))
def test_examples_give_what_they_show(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert (found.failed, found.attempted > 0) == (0, True)
