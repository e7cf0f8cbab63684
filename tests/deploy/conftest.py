"""The chart, rendered once for all modules."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.chart import FULL, rendered


@pytest.fixture(scope="session")
def full() -> list[dict[str, Any]]:
    """The objects that come out of the chart with all that it has. Not to be changed."""
    return rendered(FULL)
