"""Runs the services of docker-compose.yml without containers: their commands, environment and proxy, on ports of
this machine.
"""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from baton.storage import open_store
from tests.deploy import dockerfile
from tests.deploy.compose import GIVEN, Compose, read_compose
from tests.support.gcs import _binary as emulator_binary
from tests.support.gcs import until
from tests.support.jobs import Jobs, tiny
from tests.support.postgres import OWNER, PostgresServer, running_postgres
from tests.support.redis import free_port, redis_binary
from tests.support.service import ROOT

pytestmark = pytest.mark.process

CADDY = Path(sys.executable).parent / "caddy"
CADDYFILE = ROOT / "deploy/compose/Caddyfile"
SECONDS = 200.0
REPLICAS = ("service-1", "service-2")
JOB = tiny(
    dataset={"name": "digits", "per_class": 10},
    stages=[{"image_size": 8, "batch_size": 16, "epochs": 1, "steps_per_epoch": 5}],
)


@dataclass
class Machine:
    """Processes instead of containers.

    Each gets the environment of Compose and of its image, with addresses of this machine.
    """

    folder: Path
    compose: Compose
    postgres: PostgresServer
    ports: dict[str, int] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def port(self, name: str) -> int:
        return self.ports.setdefault(name, free_port())

    def environment(self, name: str, target: str = "") -> dict[str, str]:
        """The environment of a service in the file, and of its image."""
        given = {**(dockerfile.environment(target) if target else {}), **self.compose.environment(name)}
        given |= {one: self._here(value) for one, value in given.items()}
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), **given, "PYTHONPATH": str(ROOT)}

    def _here(self, value: str) -> str:
        """Replace names of containers and mounted folders by their equivalents on this machine."""
        value = value.replace("@postgres/baton", f"@/baton?host={self.postgres.folder}")
        value = value.replace("file:///data", (self.folder / "data").as_uri())
        for name, port in (("redis", 6379), ("service-1", 8080), ("service-2", 8080), ("proxy", 8080)):
            value = value.replace(f"{name}:{port}", f"127.0.0.1:{self.port(name)}")
        return value

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def start_redis(self) -> None:
        """Start the available Redis with the file's own configuration, on a free port and in a separate folder."""
        redis = self.compose.services["redis"]
        (config,) = redis["configs"]
        assert redis["command"] == ["redis-server", config["target"]]
        file = self.folder / "redis.conf"
        file.write_text(self.compose.data["configs"][config["source"]]["content"])
        options = ["--port", str(self.port("redis")), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        self.start("redis", [redis_binary(), str(file), *options], self.environment("redis"))

    def migrate(self) -> None:
        """Run the one-shot migration service to its end."""
        command = [sys.executable, *self.compose.services["migrate"]["command"][1:]]
        self.start("migrate", command, self.environment("migrate", "service"))
        assert self.running["migrate"].wait(SECONDS) == 0, self.says("migrate")

    def start_replica(self, name: str) -> None:
        port = {"BATON_HOST": "127.0.0.1", "BATON_PORT": str(self.port(name))}
        self.start(name, self.command("service"), {**self.environment(name, "service"), **port})

    def start_proxy(self) -> None:
        ports = {"HTTP": "http", "HTTPS": "https", "INTERNAL": "proxy"}
        chosen = {f"BATON_{name}_PORT": str(self.port(what)) for name, what in ports.items()}
        folders = {"XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        command = [str(CADDY), "run", "--adapter", "caddyfile", "--config", str(CADDYFILE)]
        self.start("proxy", command, {**self.environment("proxy"), **chosen, **folders})

    def start_worker(self) -> None:
        self.start("worker", self.command("worker-cpu"), self.worker_environment)

    @property
    def worker_environment(self) -> dict[str, str]:
        changed = {"BATON_HEALTH_FILE": str(self.folder / "health"), "BATON_NOTICES": "none", "BATON_REPORTS": "0"}
        return {**self.environment("worker", "worker-cpu"), **changed}

    def command(self, target: str) -> list[str]:
        """The command of the image, with the Python of the tests and without the image's init."""
        return [sys.executable, *dockerfile.command(target)[3:]]

    def healthy(self, target: str, environment: dict[str, str]) -> bool:
        command = [sys.executable, *dockerfile.health_command(target)[1:]]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False).returncode == 0

    def says(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def end(self, name: str, seconds: float = 30.0) -> int:
        """Send SIGTERM, as the container engine does, and return the exit status."""
        self.running[name].terminate()
        return self.running[name].wait(seconds)

    def close(self) -> None:
        for process in self.running.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port('https')}"

    def users(self) -> httpx.Client:
        """A client outside that trusts the proxy's certificate authority."""
        root = ssl.create_default_context(cafile=self.folder / "caddy/pki/authorities/local/root.crt")
        token = {"Authorization": f"Bearer {GIVEN['BATON_TOKEN']}"}
        return httpx.Client(base_url=self.url, headers=token, verify=root, timeout=30.0)


def make_database(server: PostgresServer) -> None:
    """Do what the entry point of the image does: create a user who must give a password, and the user's database."""
    with server.connect() as connection:
        connection.execute(f"ALTER ROLE {OWNER} PASSWORD '{GIVEN['POSTGRES_PASSWORD']}'")
        connection.execute(f"CREATE DATABASE baton OWNER {OWNER}")
    rules = server.folder / "data/pg_hba.conf"
    rules.write_text(f"local all {OWNER} scram-sha-256\n{rules.read_text()}")
    with server.connect() as connection:
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with ExitStack() as held:
        server = held.enter_context(running_postgres())
        make_database(server)
        made = Machine(tmp_path_factory.mktemp("compose"), read_compose(GIVEN), server)
        held.callback(made.close)
        made.start_redis()
        made.migrate()
        for name in REPLICAS:
            made.start_replica(name)
        until(lambda: all(answers(made, name) for name in REPLICAS), SECONDS, "the replicas are ready")
        made.start_proxy()
        until(lambda: answers(made, "proxy"), SECONDS, "the proxy finds them")
        until(lambda: has_certificate(made), SECONDS, "the proxy has a certificate")
        made.start_worker()
        yield made


def answers(machine: Machine, name: str) -> bool:
    """Whether the process passes its health check of the file. If the process has ended, fail with its output."""
    assert machine.running[name].poll() is None, machine.says(name)
    with suppress(httpx.HTTPError):
        path = "healthz" if name == "proxy" else "readyz"
        return httpx.get(f"http://127.0.0.1:{machine.port(name)}/{path}", timeout=5.0).status_code == 200
    return False


def has_certificate(machine: Machine) -> bool:
    """Whether TLS works. The certificate is made in the background."""
    with suppress(httpx.HTTPError, FileNotFoundError), machine.users() as http:
        return http.get("/healthz").status_code == 200
    return False


def test_a_job_succeeds_through_the_proxy(machine: Machine) -> None:
    with machine.users() as http:
        jobs = Jobs(http)
        view = jobs.await_end(jobs.submit(JOB), SECONDS)
        assert view["status"] == "succeeded", (view, machine.says("worker"))
        assert jobs.download(view["id"], "best.keras")
    assert httpx.get(f"{machine.url}/v1/jobs", verify=False).status_code == 401
    assert list((machine.folder / "data/store/jobs").iterdir())


def test_the_images_health_checks_pass(machine: Machine) -> None:
    service = {**machine.environment("service-1", "service"), "BATON_PORT": str(machine.port("service-1"))}
    assert machine.healthy("service", service)
    assert not machine.healthy("service", {**service, "BATON_PORT": "1"})
    assert machine.healthy("worker-cpu", machine.worker_environment)


def test_passwords_are_asked_for(machine: Machine) -> None:
    with redis.Redis(port=machine.port("redis")) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    with redis.Redis(port=machine.port("redis"), password=GIVEN["REDIS_PASSWORD"]) as known:
        assert known.config_get("appendonly") == {"appendonly": "yes"}
        assert known.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host=str(machine.postgres.folder), user=OWNER, dbname="baton", password="wrong")


def test_a_replica_goes_and_comes_and_nobody_notices(machine: Machine) -> None:
    failed: list[Any] = []
    done = threading.Event()

    def ask() -> None:
        with machine.users() as http:
            while not done.is_set():
                answer = http.get("/v1/plans")
                if answer.status_code != 200:
                    failed.append((answer.status_code, answer.text))

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        assert machine.end("service-1") == 0
        machine.start_replica("service-1")
        until(lambda: answers(machine, "service-1"), SECONDS, "service-1 is back")
    finally:
        done.set()
        asker.join()
    assert failed == []


def test_heartbeats_get_through_while_redis_is_away(machine: Machine) -> None:
    """Then every replica is not ready.

    A load balancer that used readiness would disconnect workers, although training needs no Redis.
    """
    os.kill(machine.running["redis"].pid, signal.SIGSTOP)
    try:
        with machine.users() as http:
            until(lambda: http.get("/readyz").status_code == 503, SECONDS, "the service is not ready without Redis")
            until(lambda: http.get("/healthz").status_code == 200, SECONDS, "the service is live")
            assert http.get("/v1/workers").status_code == 200
    finally:
        os.kill(machine.running["redis"].pid, signal.SIGCONT)


def test_a_worker_that_is_stopped_ends_in_its_time(machine: Machine) -> None:
    assert machine.end("worker", float(machine.compose.environment("worker")["BATON_GRACE"])) == 0


def test_the_emulators_profile_has_the_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the profile's command with another port and folder. The folder of the volume is the bucket."""
    compose, port = read_compose(GIVEN), free_port()
    here = {"4443": str(port), "/storage": str(tmp_path), "http://gcs:4443": f"http://127.0.0.1:{port}"}
    words = [here.get(word, word) for word in compose.services["gcs"]["command"]]
    (volume,) = compose.services["gcs"]["volumes"]
    (tmp_path / Path(volume.split(":")[1]).relative_to("/storage")).mkdir()
    process = subprocess.Popen([emulator_binary(), *words, "-host", "127.0.0.1"], stderr=subprocess.DEVNULL)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", here["http://gcs:4443"])
    try:
        until(lambda: reached(port), 60, "the emulator starts")
        store = open_store("gs://baton")
        store.check()
        store.put("a/b", b"bytes")
        assert store.get("a/b") == b"bytes"
    finally:
        process.kill()
        process.wait()


def reached(port: int) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/storage/v1/b", timeout=2.0).status_code == 200
    return False
