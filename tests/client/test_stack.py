"""The embedded stack with real child processes: small scripts replace service and worker."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from baton.client.connection import read_connection
from baton.local.data_directory import DataDirectory
from baton.local.redis_server import SYSTEM_SERVERS, bundled_binary
from baton.local.stack_processes import processes_of
from tests.client.waiting import eventually

pytestmark = pytest.mark.process

SERVICE = """
import http.server, os
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["BATON_PORT"])), Ready).serve_forever()
"""
WORKER = """
import os, redis, signal, sys, time
redis.Redis.from_url(os.environ["BATON_REDIS_URL"]).set("seen", os.environ["BATON_TOKEN"])
def stop(*_):
    print("stopping well", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("working", os.environ["BATON_REDIS_URL"], flush=True)
while True: time.sleep(0.05)
"""
HELPED = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("working", flush=True)
time.sleep(600)
"""
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('working', flush=True)\ntime.sleep(600)"
)
UP = """
import sys
from pathlib import Path
from baton.cli.app import say
from baton.client.errors import ClientError
from baton.local.errors import StackError
from baton.local.stack import StackOptions, run_stack
data, port, workers, *scripts = sys.argv[1:]
commands = [(sys.executable, "-c", script) for script in scripts]
options = StackOptions(Path(data), "127.0.0.1", int(port), int(workers), *commands)
try:
    run_stack(options, say, lambda stack: say("ready"))
except StackError as error:
    say(str(error)); sys.exit(error.exit_status)
"""


class Up:
    """A `baton up` whose service and workers are the scripts above."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.started: list[subprocess.Popen[str]] = []

    def start(
        self, *, port: int = 0, workers: int = 1, service: str = SERVICE, worker: str = WORKER
    ) -> subprocess.Popen[str]:
        arguments = [str(self.data), str(port), str(workers), service, worker]
        process = subprocess.Popen(
            [sys.executable, "-c", UP, *arguments], stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self.started.append(process)
        return process

    def ready(self) -> dict[str, int]:
        eventually(lambda: read_connection(self.data), "connection.json")
        return self.processes()

    def processes(self) -> dict[str, int]:
        found: dict[str, int] = json.loads((self.data / "processes.json").read_text())
        return found

    def worker_log(self, name: str = "worker-1") -> str:
        path = self.data / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    made = Up(tmp_path / "data with space")
    yield made
    for process in made.started:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.communicate()
    eventually(lambda: not processes_of(made.data), "everything gone after the test")


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
    process.send_signal(number)
    _, text = process.communicate(timeout=60)
    return process.returncode, text


def test_it_starts_announces_itself_and_stops_cleanly(up: Up) -> None:
    process = up.start(workers=2)
    children = up.ready()
    eventually(lambda: "working" in up.worker_log("worker-1") and "working" in up.worker_log("worker-2"), "two workers")
    assert list(children) == ["redis", "service", "worker-1", "worker-2"]
    connection = read_connection(up.data)
    assert connection is not None
    for name in ("connection.json", "token", "work-token", "redis/redis.conf", "processes.json"):
        assert stat.S_IMODE((up.data / name).stat().st_mode) == 0o600
    assert (up.data / "token").read_text() == connection.token
    assert end(process)[0] == 0
    assert "stopping well" in up.worker_log("worker-1")
    assert read_connection(up.data) is None
    assert processes_of(up.data) == []


def test_the_workers_token_stays_is_not_the_owners_and_redis_keeps_what_it_knew(up: Up) -> None:
    first = up.start()
    up.ready()
    eventually(lambda: "working" in up.worker_log(), "worker")
    token = (up.data / "work-token").read_text()
    assert token != (up.data / "token").read_text()
    end(first, signal.SIGTERM)
    up.start(worker=STUBBORN)
    up.ready()
    lines = [line.split() for line in (up.data / "redis" / "redis.conf").read_text().splitlines()]
    settings = {line[0]: line[1] for line in lines}
    connection = redis.Redis(port=int(settings["port"]), password=settings["requirepass"])
    assert connection.get("seen") == token.encode()
    with socket.create_connection(("127.0.0.1", int(settings["port"]))) as stranger:
        stranger.sendall(b"GET seen\r\n")
        assert stranger.recv(100).startswith(b"-NOAUTH")


def test_what_a_worker_left_in_its_group_ends_with_it(up: Up) -> None:
    process = up.start(worker=HELPED)
    before = up.ready()
    eventually(lambda: "working" in up.worker_log(), "worker")
    os.kill(before["worker-1"], signal.SIGKILL)
    eventually(lambda: up.worker_log().count("working") == 2, "it works again")
    eventually(lambda: len([line for line in processes_of(up.data) if "python" in line]) == 3, "no fourth process")
    assert end(process)[0] == 0
    assert processes_of(up.data) == []


def test_a_killed_worker_is_started_again_at_once(up: Up) -> None:
    process = up.start()
    before = up.ready()
    eventually(lambda: "working" in up.worker_log(), "worker")
    os.killpg(before["worker-1"], signal.SIGKILL)
    eventually(lambda: up.processes()["worker-1"] != before["worker-1"], "another worker process")
    assert process.stderr is not None
    assert next(line for line in process.stderr if "worker-1" in line).endswith("starting it again in 0.2 s\n")
    eventually(lambda: up.worker_log().count("working") == 2, "it works again")
    assert {k: v for k, v in up.processes().items() if k != "worker-1"} == {
        k: v for k, v in before.items() if k != "worker-1"
    }


@pytest.mark.parametrize("victim", ["redis", "service"])
def test_redis_and_service_come_back_too(up: Up, victim: str) -> None:
    up.start()
    before = up.ready()
    os.kill(before[victim], signal.SIGKILL)
    eventually(lambda: up.processes()[victim] != before[victim], f"another {victim}")


def test_nothing_outlives_a_killed_supervisor(up: Up) -> None:
    process = up.start(workers=2)
    up.ready()
    process.kill()
    eventually(lambda: not any(is_alive(pid) for pid in up.processes().values()), "the children are gone")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_second_request_hurries(up: Up) -> None:
    process = up.start(worker=STUBBORN)
    up.ready()
    eventually(lambda: "working" in up.worker_log(), "worker")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    eventually(lambda: "stopping" in (process.stderr and process.stderr.readline()), "it says so")
    assert end(process)[0] == 0
    assert processes_of(up.data) == []


def test_a_taken_port_is_named_and_nothing_starts(up: Up) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = up.start(port=port)
        _, text = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"port {port}" in text
    assert "--port" in text
    assert processes_of(up.data) == []


def test_one_directory_is_one_stack(up: Up) -> None:
    first = up.start()
    up.ready()
    second = up.start()
    _, text = second.communicate(timeout=60)
    assert (second.returncode, f"process {first.pid}" in text, "--data" in text) == (2, True, True)
    assert first.poll() is None
    assert read_connection(up.data) is not None


def test_a_service_that_cannot_start_is_shown_with_its_log(up: Up) -> None:
    process = up.start(service="import sys; print('the database is broken'); sys.exit(3)")
    _, text = process.communicate(timeout=60)
    assert (process.returncode, "the database is broken" in text, "ended with status 3" in text) == (1, True, True)
    assert processes_of(up.data) == []


def test_stopping_while_it_starts(up: Up) -> None:
    process = up.start(service="import time; time.sleep(600)")
    eventually(lambda: (up.data / "processes.json").exists() and "service" in up.processes(), "service started")
    assert end(process)[0] == 0
    assert processes_of(up.data) == []


def test_a_worker_that_keeps_dying_is_started_ever_more_rarely(up: Up) -> None:
    process = up.start(worker="import sys; sys.exit(2)")
    up.ready()
    lines = []
    assert process.stderr is not None
    while len(lines) < 3:
        line = process.stderr.readline()
        lines += [line] if "worker-1" in line else []
    assert [line.split()[-2] for line in lines] == ["0.2", "0.4", "0.8"]
    assert "ended with status 2" in lines[0]


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = Up(tmp_path / "file" / "data").start()
    _, text = process.communicate(timeout=60)
    assert (process.returncode, "--data" in text) == (1, True)


@pytest.mark.parametrize("binary", [b for b in (*map(shutil.which, SYSTEM_SERVERS), bundled_binary()) if b])
def test_every_redis_here_can_be_started(binary: str, tmp_path: Path) -> None:
    from baton.local.child_process import Child
    from baton.local.redis_server import redis_server

    data = DataDirectory(tmp_path / "d")
    data.make()
    server = redis_server(data, dict(os.environ), binary)
    child = Child(server.spec)
    child.start(0.0)
    try:
        eventually(server.ready, f"{binary} answers")
    finally:
        child.ask_to_stop()
        eventually(lambda: child.ended is not None, "it ends")
    assert child.ended == 0
