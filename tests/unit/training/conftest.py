"""Fixtures of several modules of this folder."""

from pathlib import Path

import pytest

from tests.unit.training.archives import zip_of
from tests.unit.training.pictures import tiny_imagenet


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """A small Tiny ImageNet in the layout of the official zip, which has one top folder."""
    return zip_of(tiny_imagenet(tmp_path / "t"), tmp_path / "tiny.zip", "tiny-imagenet-200/")
