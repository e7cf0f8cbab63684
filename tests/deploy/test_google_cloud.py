"""The Google Cloud recipe: a VM's start-up script in a real shell, and the group that grows and shrinks by demand."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from baton.domain.durations import parse_duration
from tests.deploy.settings import NOT_OF_A_FLEET, WORKER
from tests.support.fast_jobs import fast
from tests.support.redis import running_redis
from tests.support.service import ROOT, TOKEN, ServiceProcess, running_service

pytestmark = pytest.mark.process

FOLDER = ROOT / "deploy/google-cloud"
STUBS = {
    "curl": 'case "${@: -1}" in */name) echo baton-x7k2;; */attributes/*) f="$STUBS/${@: -1:1}"; '
    'f="$STUBS/attributes/${f##*/}"; [ -e "$f" ] && cat "$f" || exit 22;; esac',
    "gcloud": 'echo "gcloud $*" >> "$STUBS/log"; [ "$1" != secrets ] || echo the-token',
    "nvidia-smi": 'echo "GPU 0: L4"; echo "GPU 1: L4"',
    "systemctl": 'echo "systemctl $*" >> "$STUBS/log"',
    "chown": "true",
}
ATTRIBUTES = {
    "baton-url": "https://example.org/baton",
    "baton-secret": "baton-token",
    "baton-image": "europe-west4-docker.pkg.dev/my-project/baton/baton-worker-gpu:0.2.0",
}


def booted(folder: Path, **more: str) -> list[str]:
    """Runs the script with stand-ins for the cloud and below `folder` instead of /; the calls that it made."""
    commands = folder / "bin"
    commands.mkdir()
    for name, text in STUBS.items():
        (commands / name).write_text(f"#!/bin/bash\n{text}\n")
        (commands / name).chmod(0o755)
    (folder / "attributes").mkdir()
    for name, text in {**ATTRIBUTES, **more}.items():
        (folder / "attributes" / name).write_text(text)
    (folder / "etc/systemd/system").mkdir(parents=True)
    script = re.sub(r"(?<![\w:/])/(etc|var)/", rf"{folder}/\1/", (FOLDER / "start-worker.sh").read_text())
    environment = {"PATH": f"{commands}:{os.environ['PATH']}", "STUBS": str(folder)}
    subprocess.run(["bash", "-c", script], env=environment, check=True, timeout=60, capture_output=True)
    return (folder / "log").read_text().splitlines()


def test_a_vm_starts_one_worker_for_each_gpu_with_url_and_token(tmp_path: Path) -> None:
    calls = booted(tmp_path)
    assert calls[-3:] == [
        "systemctl daemon-reload",
        "systemctl enable --now baton-worker@0",
        "systemctl enable --now baton-worker@1",
    ]
    assert "gcloud auth configure-docker europe-west4-docker.pkg.dev --quiet" in calls
    given = dict(line.split("=", 1) for line in (tmp_path / "etc/baton/env").read_text().splitlines())
    assert (given["BATON_URL"], given["BATON_TOKEN"]) == ("https://example.org/baton", "the-token")
    assert set(given) <= WORKER
    assert not NOT_OF_A_FLEET & set(given)
    assert parse_duration(given["BATON_IDLE"]) == 600
    assert float(given["BATON_GRACE"]) < 30  # Google leaves 30 s
    assert (tmp_path / "etc/baton/env").stat().st_mode & 0o777 == 0o600
    unit = (tmp_path / "etc/systemd/system/baton-worker@.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.M)
    assert "--env BATON_WORKER_NAME=baton-x7k2.gpu%i " in command
    assert command.endswith("baton-worker-gpu:0.2.0 --queue=default")
    # An idle worker ends with status 0. If systemd started it again, the VM would always have a worker.
    assert re.findall(r"^Restart=(.*)$", unit, re.M) == ["on-failure"]
    stop, kill = (int(found) for found in re.findall(r"(?:stop-timeout |TimeoutStopSec=)(\d+)", unit))
    assert float(given["BATON_GRACE"]) + 10 <= stop < kill


def test_queue_and_idle_time_come_from_the_template(tmp_path: Path) -> None:
    booted(tmp_path, **{"baton-queue": "gpu", "baton-idle": "5m", "baton-image": "registry.example/worker:1"})
    unit = (tmp_path / "etc/systemd/system/baton-worker@.service").read_text()
    assert "registry.example/worker:1 --queue=gpu\n" in unit
    assert "BATON_IDLE=5m\n" in (tmp_path / "etc/baton/env").read_text()
    assert not [call for call in (tmp_path / "log").read_text().splitlines() if "configure-docker" in call]


@pytest.fixture(scope="module")
def scale() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scale_group", FOLDER / "scale_group.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale_group"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with running_redis() as redis, running_service(tmp_path_factory.mktemp("scale"), redis.url) as process:
        yield process


@dataclass
class Vms:
    """A group of VMs as Google keeps it, without VMs. `vms`: key, name and whether it runs."""

    vm: Any
    vms_there: dict[str, tuple[str, bool]] = field(default_factory=dict)
    target: int = 0
    broken: bool = False

    def vms(self) -> list[Any]:
        if self.broken:
            raise OSError("gcloud list-instances: no network")
        return [self.vm(key, name, running) for key, (name, running) in self.vms_there.items()]

    def size(self) -> int:
        return self.target

    def resize(self, size: int) -> None:
        self.target = size

    def delete(self, names: Collection[str]) -> None:
        self.vms_there = {key: one for key, one in self.vms_there.items() if one[0] not in names}
        self.target -= len(names)


@dataclass
class Stage:
    """A group, its scaler with a clock of its own, and workers that report to a real service."""

    scale: ModuleType
    service: ServiceProcess
    queue: str
    group: Vms
    now: float = 0.0

    def __post_init__(self) -> None:
        limits = self.scale.Limits(most=3, gpus=1, patience=900.0)
        service = self.scale.Service(self.service.url + "/", TOKEN)
        self.scaler = self.scale.Scaler(service, self.group, self.queue, self.queue, limits, lambda: self.now)

    def run_pass(self, after: float = 30.0) -> int:
        """One pass, `after` seconds later; the size of the group."""
        self.now += after
        self.scaler.run_pass()
        return self.group.target

    def submit(self, count: int) -> None:
        with self.service.client() as http:
            for _ in range(count):
                assert http.post("/v1/jobs", json=fast(queue=self.queue)).status_code == 201

    def cancel_all(self) -> None:
        with self.service.client() as http:
            for job in http.get("/v1/jobs", params={"status": "queued"}).json()["items"]:
                http.post(f"/v1/jobs/{job['id']}/cancel")

    def report(self, vm: str, *, ended: bool = False) -> None:
        """A worker of this VM tells the service that it is there, or that it ends."""
        worker = {"name": f"{vm}.gpu0", "host": vm, "pid": 1, "version": "0.2.0", "device": "gpu"}
        with self.service.client() as http:
            body = {**worker, "queues": [self.queue], "ended": ended}
            assert http.post("/v1/workers", json=body).status_code == 204


@pytest.fixture
def stage(scale: ModuleType, service: ServiceProcess, request: pytest.FixtureRequest) -> Stage:
    return Stage(scale, service, f"q{abs(hash(request.node.name)) % 10**9}", Vms(scale.Vm))


def test_a_group_grows_from_zero_and_back_to_zero(stage: Stage) -> None:
    group = stage.group
    assert stage.run_pass() == 0
    stage.submit(2)
    assert stage.run_pass() == 2
    stage.submit(5)
    assert stage.run_pass() == 3  # the maximum
    names = [f"{stage.queue}-{letter}" for letter in "abc"]
    group.vms_there = {str(key): (name, True) for key, name in enumerate(names)}
    for name in names:
        stage.report(name)
    stage.cancel_all()
    assert stage.run_pass() == 3  # workers end by themselves: nobody else ends one
    stage.report(names[1], ended=True)
    assert stage.run_pass() == 2
    assert list(group.vms_there) == ["0", "2"]
    stage.report(names[0], ended=True)
    stage.report(names[2], ended=True)
    assert stage.run_pass() == 0


def test_a_vm_without_a_worker_is_deleted_when_the_patience_ends(stage: Stage) -> None:
    stage.group.vms_there = {"1": ("g-a", True), "2": ("g-b", False)}
    stage.group.target = 2
    assert stage.run_pass() == 2
    assert stage.run_pass(890) == 2
    assert stage.run_pass(20) == 1
    assert list(stage.group.vms_there) == ["2"]  # it is still being created


def test_an_outage_is_no_silence_of_the_workers(stage: Stage) -> None:
    stage.group.vms_there, stage.group.target = {"1": ("g-a", True)}, 1
    stage.run_pass()
    stage.group.broken = True
    with pytest.raises(OSError, match="no network"):
        stage.run_pass(2000)
    stage.group.broken = False
    assert stage.run_pass() == 1
    assert stage.run_pass(890) == 1


def test_a_vm_that_replaces_another_of_its_name_is_a_new_one(stage: Stage) -> None:
    stage.group.vms_there, stage.group.target = {"1": (f"{stage.queue}-a", True)}, 1
    stage.report(f"{stage.queue}-a")
    stage.run_pass()
    stage.report(f"{stage.queue}-a", ended=True)  # preempted: it gave its job back
    stage.group.vms_there = {"2": (f"{stage.queue}-a", True)}
    assert stage.run_pass() == 1


def test_gcloud_gets_the_commands_of_a_group(
    scale: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "list-instances": [
            {
                "instance": "https://x/zones/z/instances/g-1",
                "id": "7",
                "instanceStatus": "RUNNING",
                "currentAction": "NONE",
            },
            {"instance": "https://x/zones/z/instances/g-2", "currentAction": "CREATING"},
        ],
        "describe": {"targetSize": 4},
    }
    for verb, answer in answers.items():
        (tmp_path / f"{verb}.json").write_text(json.dumps(answer))
    stub = tmp_path / "gcloud"
    stub.write_text(
        f'#!/bin/bash\necho "$*" >> {tmp_path}/log\n[ -e {tmp_path}/$4.json ] && cat {tmp_path}/$4.json || true\n'
    )
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    group = scale.Group("g", "--region=r")
    assert group.vms() == [scale.Vm("7", "g-1", True), scale.Vm("g-2", "g-2", False)]
    assert group.size() == 4
    group.resize(5)
    group.delete(["g-2", "g-1"])
    begin = "compute instance-groups managed"
    assert (tmp_path / "log").read_text().splitlines() == [
        f"{begin} list-instances g --region=r --quiet --format=json",
        f"{begin} describe g --region=r --quiet --format=json",
        f"{begin} resize g --region=r --quiet --size=5",
        f"{begin} delete-instances g --region=r --quiet --instances=g-1,g-2",
    ]
    stub.write_text("#!/bin/bash\necho 'no permission' >&2; exit 1\n")
    with pytest.raises(OSError, match="gcloud describe: no permission"):
        group.size()


def test_the_unit_runs_the_scaler_with_its_options() -> None:
    unit = (FOLDER / "baton-scale.service").read_text()
    example = dict(re.findall(r"^#   (\w+)=(.*?)(?:  .*)?$", unit, re.M))
    assert set(example) == {"BATON_URL", "BATON_TOKEN", "SCALE_OPTIONS"}
    assert "scale_group.py $SCALE_OPTIONS" in unit
    command = [sys.executable, FOLDER / "scale_group.py", *example["SCALE_OPTIONS"].split()]
    done = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.strip()) == (
        1,
        "set BATON_URL to the service and BATON_TOKEN to a token with the scope read",
    )
