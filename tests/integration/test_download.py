"""A worker downloads the data set of a job: the owner sees the progress, and a stop during the download loses
little.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from tests.support.file_server import serving
from tests.support.jobs import Jobs, tiny
from tests.support.worker import Workers
from tests.unit.training.pictures import tiny_imagenet

DATASET = {"name": "tiny-imagenet-200", "download": True}
STAGES = [{"image_size": 16, "batch_size": 8, "epochs": 1}]


def zipped(folder: Path) -> bytes:
    tiny_imagenet(folder / "tiny-imagenet-200")
    with zipfile.ZipFile(folder / "t.zip", "w") as made:
        for path in sorted((folder / "tiny-imagenet-200").rglob("*")):
            made.write(path, path.relative_to(folder))
    return (folder / "t.zip").read_bytes()


def test_a_stop_while_downloading_is_heard_and_the_next_worker_goes_on(
    jobs: Jobs, workers: Workers, tmp_path: Path
) -> None:
    content = zipped(tmp_path)
    with serving(content, stalls=True) as server:
        settings = {
            "BATON_TINY_IMAGENET_URL": server.url,
            "BATON_TINY_IMAGENET_CHECKSUM": f"sha256:{hashlib.sha256(content).hexdigest()}",
        }
        first = workers.start(**settings)
        job = jobs.submit(tiny(dataset=DATASET, stages=STAGES))
        half = f"{len(content) // 2 / 1e6:.2f} MB of {len(content) / 1e6:.2f} MB"
        words = f"downloading tiny-imagenet-200.zip: {half}"
        view = jobs.await_job(job, lambda view: view["message"] == words)
        assert view["phase"] == "loading"
        first.terminate()
        jobs.await_job(job, lambda view: view["status"] != "running" and view["message"] != words)
        (attempt,) = [one for one in jobs.items(job, "attempts") if one["attempt"] == 1]
        # The worker stopped by itself, it was not killed.
        assert (attempt["state"], attempt["message"]) == ("preempted", "SIGTERM")
        server.stalls = False
        workers.start(**settings)
        ended = jobs.await_end(job)
        assert (ended["status"], ended["failures"]) == ("succeeded", 0)
        assert server.starts == [0, len(content) // 2]


def test_a_source_that_is_not_there_is_the_owners_to_know(jobs: Jobs, workers: Workers) -> None:
    with serving(b"", statuses=[404]) as server:
        workers.start(BATON_TINY_IMAGENET_URL=server.url)
        ended = jobs.await_end(jobs.submit(tiny(dataset=DATASET, stages=STAGES)))
    assert (ended["status"], ended["reason"], ended["attempts"]) == ("failed", "bad_data", 1)
    assert f"{server.url}: HTTP 404 Not Found; set BATON_TINY_IMAGENET_URL to a mirror" in ended["message"]
