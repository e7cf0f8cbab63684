"""`python -m tests.deploy.try_images`: runs the images with buildah in a chroot, and trains a job with them.

For a machine without a container engine: `buildah run` gives a container the image's files, user and environment, and
this machine's network and processes. Redis is the tests' own. It needs root, and the images of `make images`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.gcs import until
from tests.support.jobs import Jobs, tiny
from tests.support.redis import free_port, running_redis

TOKEN = "token-of-the-images"
SECONDS = 300.0
JOB = tiny(stages=[{"image_size": 8, "batch_size": 16, "epochs": 2, "steps_per_epoch": 20}])
LONG = tiny(stages=[{"image_size": 8, "batch_size": 16, "epochs": 200, "steps_per_epoch": 50}])


def say(text: str) -> None:
    """Print a line of the report."""
    print(f"==> {text}", flush=True)


def buildah(*words: str) -> str:
    """Run buildah, and return its output. Raises CalledProcessError."""
    return subprocess.run(["buildah", *words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@dataclass
class Container:
    """A container of an image, and its processes."""

    name: str
    config: dict[str, Any]
    mount: str
    process: subprocess.Popen[bytes] | None = None

    def start(self, settings: dict[str, str], *arguments: str) -> None:
        """Run the command of the image."""
        words = [*(self.config.get("Entrypoint") or []), *(arguments or self.config.get("Cmd") or [])]
        self.process = subprocess.Popen(self._run(settings, words), start_new_session=True)

    def health(self, settings: dict[str, str]) -> int:
        """The exit status of the image's health check."""
        test = self.config["Healthcheck"]["Test"]
        assert test[0] == "CMD", test
        return subprocess.run(self._run(settings, test[1:]), check=False, stderr=subprocess.DEVNULL).returncode

    def says(self, settings: dict[str, str], *words: str) -> str:
        """The output of a command in the container."""
        return subprocess.run(self._run(settings, words), check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def _run(self, settings: dict[str, str], words: Any) -> list[str]:
        pairs = [word for name, value in settings.items() for word in ("--env", f"{name}={value}")]
        volume = ["--volume", f"{self.mount}:/data"]
        return ["buildah", "run", "--isolation", "chroot", *volume, *pairs, self.name, "--", *words]

    def stop(self, seconds: float = 60.0) -> int:
        """Send SIGTERM to the init of the image, as an engine does, and return the exit status."""
        assert self.process is not None
        os.kill(self._init(), signal.SIGTERM)
        return self.process.wait(seconds)

    def _init(self) -> int:
        """The process id of tini among our child processes."""
        assert self.process is not None
        below = [self.process.pid]
        for pid in below:
            if Path(f"/proc/{pid}/comm").read_text().strip() == "tini":
                return pid
            # The children of all threads, because buildah has many.
            children = Path(f"/proc/{pid}/task").glob("*/children")
            below += [int(child) for file in children for child in file.read_text().split()]
        raise AssertionError(f"no tini among {below}")

    def close(self) -> None:
        """Kill the processes, and remove the container."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        buildah("rm", self.name)


@contextmanager
def container(image: str, mount: Path) -> Iterator[Container]:
    """A container of an image, removed at the end."""
    config = json.loads(buildah("inspect", "--type", "image", image))["Docker"]["config"]
    made = Container(buildah("from", "--pull-never", image), config, str(mount))
    try:
        yield made
    finally:
        made.close()


def ready(url: str) -> bool:
    """Whether /readyz returns 200."""
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/readyz", timeout=5.0).status_code == 200
    return False


def try_service(service: Container, settings: dict[str, str], url: str) -> None:
    """The service responds, and its health check succeeds."""
    assert service.health(settings) != 0
    service.start(settings)
    until(lambda: ready(url), SECONDS, "the service is ready")
    say(f"baton-service: {httpx.get(f'{url}/readyz').text}")
    assert service.health(settings) == 0
    say(f"baton-service: its health check passes; it runs as {service.says(settings, 'id')}")


def try_worker(worker: Container, settings: dict[str, str], jobs: Jobs) -> None:
    """The worker trains a job, gives another one back when it is stopped, and its health check succeeds."""
    assert worker.health(settings) != 0
    worker.start(settings)
    done = jobs.await_end(jobs.submit(JOB), SECONDS)
    assert done["status"] == "succeeded", done
    say(f"worker: job {done['id']} {done['status']}, {done['results']}")
    assert worker.health(settings) == 0
    say(f"worker: its health check passes; it runs as {worker.says(settings, 'id')}")
    job = jobs.submit(LONG)
    jobs.await_job(job, lambda view: bool(view["checkpoint"]), SECONDS)
    assert worker.stop() == 0
    assert jobs.items(job, "attempts")[-2]["state"] == "preempted"
    say("worker: SIGTERM, and its job was given back; exit status 0")


def main(target: str = "worker-cpu") -> int:
    """Run the images of the service and of one worker. Raises an error if something is wrong."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        data = folder / "data"
        data.mkdir()
        os.chown(data, 10001, 10001)
        redis, port = held.enter_context(running_redis()), free_port()
        url = f"http://127.0.0.1:{port}"
        common = {"BATON_TOKEN": TOKEN, "BATON_REDIS_URL": redis.url, "BATON_STORE": "file:///data/store"}
        service = held.enter_context(container("localhost/baton-service:latest", data))
        database = {"BATON_DATABASE_URL": "sqlite:////data/baton.db", "BATON_PORT": str(port)}
        try_service(service, common | database, url)
        http = held.enter_context(
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30.0)
        )
        worker = held.enter_context(container(f"localhost/baton-{target}:latest", data))
        settings = common | {"BATON_URL": url, "BATON_CACHE": "/data/cache", "BATON_HEALTH_FILE": "/data/health"}
        try_worker(worker, settings, Jobs(http))
        assert service.stop() == 0
        say("baton-service: SIGTERM, exit status 0")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
