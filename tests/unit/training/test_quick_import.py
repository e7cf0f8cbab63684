"""The import of Keras without the packages that no worker uses."""

from __future__ import annotations

import sys

import pytest

from worker.training.quick_import import _absent


def test_packages_are_absent_only_inside() -> None:
    sys.modules.pop("this", None)
    with _absent("this", "json"):
        import json  # was imported before, so it stays

        with pytest.raises(ImportError):
            import this  # noqa: F401
    assert json.loads("1") == 1
    assert "this" not in sys.modules
