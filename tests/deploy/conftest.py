"""The chart, rendered once for all modules."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.chart import FULL, rendered


@pytest.fixture(scope="session")
def full() -> list[dict[str, Any]]:
    """The objects of the chart with all its features enabled. Do not change them."""
    return rendered(FULL)
