"""Fills the disks of a service, on private file systems: `unshare -rm python -m tests.service.full_disk ...`.

Arguments: a folder, and the URL of a Redis. The database is in the folder's `data`, the store in its `store`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fastapi.testclient import TestClient

from service.api import readiness
from service.app import create_app
from service.db.migrate import migrate
from service.settings import Settings
from tests.service.helpers import Api, WorkerHand, assert_problem, eventually
from tests.support.service import TOKEN


def fill(folder: Path) -> Path:
    """Write a file that takes all free space of the disk."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return path


def not_ready(api: Api) -> dict[str, str]:
    """The message of each part that /readyz reports as not ready."""
    answer = api.http.get("/readyz")
    return {} if answer.status_code == 200 else {one["field"]: one["message"] for one in answer.json()["errors"]}


def refused(api: Api, hand: WorkerHand, where: Path) -> None:
    """A write fails with 503 `disk-full`, and the error names the disk. Reads still work."""
    answer = hand.beat("training")
    problem = assert_problem(answer, 503, "disk-full")
    assert str(where) in problem["detail"]
    assert "make room" in problem["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    assert api.job(hand.job_id)["status"] == "running"


def scenario(api: Api, data: Path, store: Path) -> None:
    """Fill each disk, check the service, and free the space, one disk after the other."""
    hand = api.running()
    hand.artifact("a.txt", b"a")
    eventually(lambda: not_ready(api) == {})

    filler = fill(data)
    refused(api, hand, data / "baton.db")
    eventually(lambda: set(not_ready(api)) == {"database"})
    assert f"the disk of the database {data / 'baton.db'} is full" in not_ready(api)["database"]
    filler.unlink()
    eventually(lambda: not_ready(api) == {})
    assert hand.beat("training").status_code == 200
    assert hand.checkpoint(3).status_code == 201

    filler = fill(store)
    eventually(lambda: set(not_ready(api)) == {"store"})
    assert f"The disk of the store {store} is full" in not_ready(api)["store"]
    assert hand.beat("training").status_code == 200
    api.conduct()
    assert api.services.store.stat(f"jobs/{hand.job_id}/a.txt") is None
    filler.unlink()
    eventually(lambda: not_ready(api) == {})
    api.conduct()
    assert api.services.store.get(f"jobs/{hand.job_id}/a.txt") == b"a"


def main(root: Path, redis_url: str) -> None:
    data, store = root / "data", root / "store"
    for folder in (data, store):
        folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)], check=True)
    url = f"sqlite:///{data}/baton.db"
    migrate(url)
    for name in readiness.EVERY:
        readiness.EVERY[name] = 0.1
    readiness.AGAIN_SECONDS, readiness.FAILURE_SECONDS = 0.1, 1.0
    settings = Settings(token=TOKEN, database_url=url, redis_url=redis_url, store=store.as_uri(), conductor_seconds=0)  # type: ignore[call-arg]
    app = create_app(settings)
    with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}, raise_server_exceptions=False) as http:
        scenario(Api(http, app.state.services), data, store)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
