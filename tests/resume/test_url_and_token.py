"""A worker with nothing but a URL and a token trains pushed data, is killed twice, and ends with the same bits.

The store behind the service is a directory, or a bucket of each vendor. The workers have no credentials for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from baton import Client
from tests.resume.harness import Harness, Kill, running_stand
from tests.support.fault_points import Shot
from tests.support.service import TOKEN
from tests.support.store_servers import KINDS, store_server
from tests.support.zygote import Zygote
from tests.unit.training.pictures import image_folder

SPEC: dict[str, Any] = {
    "name": "far-away",
    "network": {"name": "tiny-cnn", "width": 0.2, "dropout": 0.3},
    "dataset": {"name": "image-folder", "data": "photos", "split": {"train": 0.5, "val": 0.25, "test": 0.25}},
    "stages": [{"image_size": 8, "batch_size": 4, "epochs": 3, "steps_per_epoch": 4, "augmentation": "paper-1"}],
    "checkpoint": {"every": "2 steps"},
    "retry": {"backoff": 0},
}
KILLS = (Kill((Shot("before a step", 5, "SIGKILL"),)), Kill((Shot("after an epoch", 1, "SIGKILL"),), reported=False))
VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "STORAGE_EMULATOR_HOST",
)
NO_CREDENTIALS = dict.fromkeys(VARIABLES, "")


@pytest.fixture(params=["directory", *KINDS])
def far(
    request: pytest.FixtureRequest, zygote: Zygote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Harness]:
    """A service on each kind of store, and workers that reach only the service."""
    with ExitStack() as stack:
        settings: dict[str, str] = {}
        if request.param != "directory":
            server = stack.enter_context(store_server(request.param))
            settings = {**server.environ, "BATON_STORE": server.store_url("far")}
            for name, value in settings.items():
                monkeypatch.setenv(name, value)
        harness = stack.enter_context(running_stand(tmp_path, zygote, **settings))
        harness.service.store_url = settings.get("BATON_STORE", harness.service.store_url)
        harness.settings = {**NO_CREDENTIALS, "BATON_STORE": "service", "BATON_REDIS_URL": ""}
        yield harness


@pytest.mark.slow
def test_killed_twice_it_ends_with_the_same_bits(far: Harness, tmp_path: Path) -> None:
    with Client(far.service.url, TOKEN) as client:
        client.push_data(image_folder(tmp_path / "photos"), "photos")
    whole = far.ending(far.run(SPEC))
    run = far.run(SPEC, KILLS)
    assert run.attempts == 1 + len(KILLS)
    assert [shot for kill in KILLS for shot in kill.shots] == run.fired
    assert whole.differences(far.ending(run)) == []
