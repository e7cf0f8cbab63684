"""Fixtures of several modules of this folder."""

from pathlib import Path

import pytest

from tests.unit.training.archives import zip_of
from tests.unit.training.pictures import tiny_imagenet


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """A small Tiny ImageNet as the official zip has it: below a top folder."""
    return zip_of(tiny_imagenet(tmp_path / "t"), tmp_path / "tiny.zip", "tiny-imagenet-200/")
