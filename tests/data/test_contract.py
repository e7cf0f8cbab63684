"""Stopped at any batch and started anew, each kind of source gives the batches of one uninterrupted run."""

from __future__ import annotations

import pytest

from tests.support.data_kinds import KINDS, check


@pytest.mark.parametrize("name", KINDS)
def test_a_restart_changes_no_batch(name: str) -> None:
    check(KINDS[name])
