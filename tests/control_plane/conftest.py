"""The service in this process, which makes records of real jobs quickly.

The rules that check records use no database.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.service.conftest import api, redis_client, redis_server, settings, start, template

__all__ = ["api", "database_url", "redis_client", "redis_server", "settings", "start", "template"]


@pytest.fixture
def database_url(tmp_path: Path, template: Path) -> str:
    return f"sqlite:///{shutil.copy(template, tmp_path / 'baton.db')}"
