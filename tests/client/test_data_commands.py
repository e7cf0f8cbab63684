"""`baton data` with a real service: killed pushes are resumed, second pushes send nothing, pulls equal the pushes."""

from __future__ import annotations

import filecmp
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from baton.client.client import Client
from baton.client.errors import ApiError, LocalDataError
from baton.client.transport import RetryPolicy
from tests.client.data_folders import fill, write
from tests.support.proxy import Proxy, Way
from tests.support.redis import running_redis
from tests.support.service import TOKEN, ServiceProcess, running_service

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with running_redis() as redis, running_service(tmp_path_factory.mktemp("service"), redis.url) as service:
        yield service


@pytest.fixture
def client(served: ServiceProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Client(served.url, TOKEN, patience=RetryPolicy(tries=2)) as made:
        yield made


def command(url: str, cache: Path, *arguments: str) -> subprocess.Popen[str]:
    env = {**os.environ, "BATON_URL": url, "BATON_TOKEN": TOKEN, "XDG_CACHE_HOME": str(cache)}
    line = [sys.executable, "-m", "baton.cli", "data", *arguments]
    return subprocess.Popen(line, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out


class Line:
    """The network between client and service. It stands still when the second pack of a push begins."""

    def __init__(self, port: int) -> None:
        self.halted, self.halts = threading.Event(), True
        self.begun: set[bytes] = set()
        self.proxy = Proxy([("127.0.0.1", port)], tap=self._see)
        self.url = f"http://{self.proxy.address}"

    def _see(self, _line: int, way: Way, chunk: bytes) -> None:
        if way is Way.REQUEST and chunk.startswith(b"PUT /v1/packs/"):
            self.begun.add(chunk.split()[1])  # a request may be repeated
            if self.halts and len(self.begun) == 2:
                self.proxy.stall()
                self.halted.set()

    def begin(self) -> None:
        self.begun.clear()
        self.halted.clear()
        self.proxy.reset_all()
        self.proxy.flow()


def test_a_push_that_is_killed_goes_on_where_it_was(served: ServiceProcess, tmp_path: Path) -> None:
    folder, packs = tmp_path / "photos", Path(served.store_url.removeprefix("file://")) / "data" / "packs"
    fill(folder, 300, cuts=6)
    write(folder / "class-1" / "big.bin", os.urandom(40_000_000))
    line, stored = Line(served.port), 0
    try:
        for _ in range(5):
            line.begin()
            process = command(line.url, tmp_path / "cache", "push", str(folder))
            assert line.halted.wait(60)
            process.send_signal(signal.SIGKILL)
            process.wait()
            # The service may store the last pack of a killed push a moment later.
            before, stored = stored, len(list(packs.iterdir()))
            assert stored >= before
        assert stored > 0
        line.halts = False
        line.begin()
        pushed = json.loads(finished(command(line.url, tmp_path / "cache", "push", str(folder), "--json")))
        assert pushed["files"] == 301
        assert pushed["sent_packs"] <= len(list(packs.iterdir())) - stored
        assert pushed["read_bytes"] == 0  # the killed pushes had read them all
        line.begin()
        again = json.loads(finished(command(line.url, tmp_path / "cache", "push", str(folder), "--json")))
        assert (again["sent_packs"], again["digest"], line.begun) == (0, pushed["digest"], set())
        finished(
            command(line.url, tmp_path / "cache", "pull", f"photos@{pushed['digest'][:12]}", str(tmp_path / "back"))
        )
    finally:
        line.proxy.close()
    compared = filecmp.dircmp(folder, tmp_path / "back")
    assert [compared.left_only, compared.right_only] == [[], []]
    for file in (path for path in folder.rglob("*") if path.is_file()):
        assert (tmp_path / "back" / file.relative_to(folder)).read_bytes() == file.read_bytes()


def test_a_push_of_another_folder_sends_only_what_is_new(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "flowers"
    fill(folder, 100, seed=2, cuts=4)
    first = client.push_data(folder)
    write(folder / "class-9" / "new.bin", b"new")
    second = client.push_data(folder)
    assert (second.name, second.files, second.sent_packs) == ("flowers", 101, 1)
    assert second.sent_bytes < first.sent_bytes
    assert [one.digest for one in client.data("flowers")] == [second.digest, first.digest]


def test_a_folder_that_changes_during_the_push_is_not_published(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "changing"
    file = write(folder / "1.bin", b"one")

    def change(what: str, _done: int, _total: int) -> None:
        if what == "sending":
            write(file, b"two")

    with pytest.raises(LocalDataError, match=r"1\.bin changed while it was pushed"):
        client.push_data(folder, report=change)
    with pytest.raises(ApiError, match="there is no pushed data 'changing'"):
        list(client.data("changing"))
    assert client.push_data(folder).files == 1


def test_a_pull_goes_on_and_never_overwrites(client: Client, tmp_path: Path) -> None:
    folder, target = tmp_path / "few", tmp_path / "target"
    fill(folder, 20, seed=3, cuts=2)
    write(folder / "empty", b"")
    client.push_data(folder)
    one, *_ = (path.relative_to(folder) for path in folder.rglob("*.bin"))
    write(target / one, (folder / one).read_bytes())
    pulled = client.pull_data("few", target)
    assert (pulled.files, pulled.fetched_files) == (21, 20)
    write(target / one, b"mine")
    with pytest.raises(LocalDataError, match="other files with these names"):
        client.pull_data("few", target)
    assert (target / one).read_bytes() == b"mine"
