"""The examples in the docstrings of the SDK give the results that they show, with a real service."""

from __future__ import annotations

import doctest
import importlib

import pytest

from baton import Client
from tests.support.docstring_examples import NEED_A_SERVICE
from tests.support.service import TOKEN, ServiceProcess


@pytest.mark.parametrize("name", sorted(NEED_A_SERVICE))
def test_examples_give_what_they_show(service: ServiceProcess, name: str) -> None:
    with Client(service.url, TOKEN) as client:
        names = {"url": service.url, "token": TOKEN, "client": client}
        module = importlib.import_module(name)
        for example in doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=names):
            # Examples of methods use the job that the examples of their class submitted.
            example.globs["job"] = client.submit_plan("digits-demo")
            assert doctest.DocTestRunner().run(example).failed == 0
