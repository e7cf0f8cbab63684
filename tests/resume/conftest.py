"""One zygote and one harness for all tests of this folder, so that TensorFlow is imported only once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.resume.harness import Harness, running_stand
from tests.support.zygote import Zygote, running_zygote


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with running_zygote(tmp_path_factory.mktemp("zygote")) as running:
        yield running


@pytest.fixture(scope="module")  # an idle service would take time from the tests of other modules
def harness(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Iterator[Harness]:
    with running_stand(tmp_path_factory.mktemp("stand"), zygote) as running:
        yield running
