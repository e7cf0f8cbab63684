"""The store of an attempt through the service: a real service, a real lease, objects of more than one part."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from baton import Client
from baton.domain.attempt_objects import PART_BYTES, upload_prefix
from baton.domain.data_manifest import DataManifest, manifest_object, pack_object
from baton.domain.errors import LeaseLost
from baton.domain.manifest import artifact_object, checkpoint_prefix, log_segment, program_object
from baton.domain.wire import Claim, Finish, Grant, Outcome, WorkerInfo
from baton.storage import (
    AlreadyExists,
    BlobStore,
    InvalidName,
    NotFound,
    StoreConfigError,
    StoreUnavailable,
    crc32c_of,
    open_store,
)
from tests.support.fast_jobs import fast
from tests.support.jobs import Jobs
from tests.support.service import TOKEN, ServiceProcess, running_service
from tests.support.store_servers import store_server
from tests.unit.training.pictures import image_folder
from worker.api_client.client import ServiceClient
from worker.store_access.attempt_store import AttemptStore

pytestmark = pytest.mark.process
LARGE = secrets.token_bytes(2 * PART_BYTES + 1234)


@dataclass
class Holder:
    """An attempt that a test has claimed, its store, and the service's store."""

    client: ServiceClient
    grant: Grant
    store: AttemptStore
    behind: BlobStore

    def checkpoint(self, leaf: str = "state.safetensors") -> str:
        return f"{checkpoint_prefix(self.grant.job_id, 10, self.grant.fence, 0)}/{leaf}"

    def finish(self) -> None:
        self.client.finish(self.grant.attempt_id, Finish(fence=self.grant.fence, outcome=Outcome.PREEMPTED))


def hold(service: ServiceProcess, jobs: Jobs, name: str = "w1", job: str | None = None) -> Holder:
    client = ServiceClient(service.url, TOKEN, name)
    job_id = job or jobs.submit(fast())
    attempt = jobs.items(job_id, "attempts")[-1]["id"]
    worker = WorkerInfo(name=name, host="h", pid=1, version="1", protocol=4, spec_version=4)
    grant = client.claim(attempt, Claim(claim_id=uuid.uuid4().hex, worker=worker))
    assert grant.store is not None
    store = AttemptStore(client, attempt, grant.store.url, grant.store.part_bytes)
    return Holder(client, grant, store, open_store(service.store_url))


@pytest.fixture
def holder(service: ServiceProcess, jobs: Jobs) -> Iterator[Holder]:
    made = hold(service, jobs)
    yield made
    made.client.close()


@pytest.mark.parametrize("data", [b"", b"abc", LARGE], ids=["empty", "small", "parts"])
def test_an_object_is_read_as_it_was_written(holder: Holder, data: bytes, tmp_path: Path) -> None:
    name = holder.checkpoint()
    info = holder.store.put(name, data)
    assert (info.size, info.crc32c) == (len(data), crc32c_of(data))
    assert holder.behind.get(name) == holder.store.get(name) == data
    assert b"".join(holder.store.open(name, 1, 10**9)) == data[1:]
    assert b"".join(holder.store.open(name, 2, PART_BYTES + 2)) == data[2 : PART_BYTES + 2]
    assert holder.store.download(name, tmp_path / "file").crc32c == crc32c_of(data)
    assert (tmp_path / "file").read_bytes() == data
    (tmp_path / "file").write_bytes(data[::-1])
    holder.store.put(name, tmp_path / "file")
    assert holder.store.get(name) == data[::-1]
    assert not list(holder.behind.list(f"jobs/{holder.grant.job_id}/uploads/"))


@pytest.mark.parametrize("data", [b"abc", LARGE], ids=["small", "parts"])
def test_an_object_that_must_be_new_is_not_replaced(holder: Holder, data: bytes) -> None:
    name = holder.checkpoint("manifest.json")
    holder.store.put(name, data, if_absent=True)
    with pytest.raises(AlreadyExists):
        holder.store.put(name, data[::-1], if_absent=True)
    assert holder.behind.get(name) == data


def test_missing_objects_are_not_found(holder: Holder) -> None:
    assert holder.store.stat(holder.checkpoint()) is None
    with pytest.raises(NotFound):
        holder.store.get(holder.checkpoint())


def test_an_upload_goes_on_after_a_part_that_failed(holder: Holder, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    send = ServiceClient.send

    def failing(self: ServiceClient, method: str, path: str, attempt: str, **options: Any) -> Any:
        if method == "PUT":
            sent.append(options["params"]["offset"])
            if len(sent) == 2:
                raise_unavailable()
        return send(self, method, path, attempt, **options)

    monkeypatch.setattr(ServiceClient, "send", failing)
    with pytest.raises(StoreUnavailable):
        holder.store.put(holder.checkpoint(), LARGE)
    holder.store.put(holder.checkpoint(), LARGE)
    assert sent == ["0", str(PART_BYTES), str(PART_BYTES), str(2 * PART_BYTES)]
    assert holder.behind.get(holder.checkpoint()) == LARGE


def raise_unavailable() -> None:
    from worker.api_client.client import ServiceUnavailable

    raise ServiceUnavailable("no answer")


def test_parts_that_were_lost_are_sent_again(holder: Holder, monkeypatch: pytest.MonkeyPatch) -> None:
    send = ServiceClient.send

    def losing(self: ServiceClient, method: str, path: str, attempt: str, **options: Any) -> Any:
        answer = send(self, method, path, attempt, **options)
        if method == "PUT" and options["params"]["offset"] == "0":
            prefix = upload_prefix(holder.grant.job_id, holder.grant.fence, options["params"]["upload"])
            for part in list(holder.behind.list(f"{prefix}/")):
                holder.behind.delete(part.name)
        return answer

    with monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
        patch.setattr(ServiceClient, "send", losing)
        holder.store.put(holder.checkpoint(), LARGE)
    holder.store.put(holder.checkpoint(), LARGE)
    assert holder.behind.get(holder.checkpoint()) == LARGE


def test_an_attempt_writes_only_its_own_objects(service: ServiceProcess, jobs: Jobs, holder: Holder) -> None:
    other = hold(service, jobs, "w2")
    mine, fence = holder.grant.job_id, holder.grant.fence
    refused = [
        other.checkpoint(),
        f"{checkpoint_prefix(mine, 10, fence + 1, 0)}/state.safetensors",
        f"{checkpoint_prefix(mine, 10, fence - 1, 0)}/state.safetensors",
        artifact_object(mine, fence + 1, 0, "best.keras"),
        artifact_object(other.grant.job_id, fence, 0, "best.keras"),
        log_segment(mine, holder.grant.attempt + 1, fence, 0),
        f"jobs/{mine}/uploads/{fence}-{'0' * 32}/000000000000000",
        "baton-store.json",
        "data/packs/" + "0" * 64,
        f"jobs/{mine}/best.keras",
        f"jobs/{mine}/checkpoints/../../{other.grant.job_id}/x",
    ]
    for name in refused:
        with pytest.raises((StoreConfigError, InvalidName)):
            holder.store.put(name, b"x")
        assert name.find("..") >= 0 or holder.behind.stat(name) is None or name == "baton-store.json"
    for name in (artifact_object(mine, fence, 0, "best.keras"), program_object(mine, "k", "d", "n")):
        holder.store.put(name, b"x")
        assert holder.behind.get(name) == b"x"


def test_an_attempt_reads_only_its_jobs_objects(service: ServiceProcess, jobs: Jobs, holder: Holder) -> None:
    other = hold(service, jobs, "w2")
    other.store.put(other.checkpoint(), b"secret")
    for name in (other.checkpoint(), "baton-store.json", "data/manifests/" + "0" * 64):
        with pytest.raises(StoreConfigError):
            holder.store.get(name)


def test_an_attempt_reads_the_data_that_its_spec_pins_and_no_other(
    service: ServiceProcess, jobs: Jobs, tmp_path: Path
) -> None:
    with Client(service.url, TOKEN) as client:
        mine, other = (
            client.push_data(image_folder(tmp_path / name, each=each), name)
            for name, each in (("mine", 4), ("other", 5))
        )
    dataset = {"name": "image-folder", "data": "mine", "split": {"train": 0.5, "val": 0.5}}
    holder = hold(service, jobs, job=jobs.submit(fast(dataset=dataset)))
    manifest = DataManifest.decode(holder.store.get(manifest_object(mine.digest)))
    assert [len(holder.store.get(pack_object(pack.sha256))) for pack in manifest.packs] == [
        pack.size for pack in manifest.packs
    ]
    foreign = DataManifest.decode(holder.behind.get(manifest_object(other.digest)))
    for name in (manifest_object(other.digest), pack_object(foreign.packs[0].sha256)):
        with pytest.raises(StoreConfigError):
            holder.store.get(name)
    with pytest.raises(StoreConfigError):
        holder.store.put(manifest_object(mine.digest), b"x")


def test_shared_results_are_never_replaced(holder: Holder) -> None:
    name = program_object(holder.grant.job_id, "k", "d", "n")
    holder.store.put(name, b"first")
    with pytest.raises(AlreadyExists):
        holder.store.put(name, b"second")


def test_after_its_end_an_attempt_writes_only_the_rest_of_its_log(
    service: ServiceProcess, jobs: Jobs, holder: Holder
) -> None:
    grant = holder.grant
    holder.store.put(holder.checkpoint(), b"x")
    holder.finish()
    with pytest.raises(LeaseLost):
        holder.store.put(holder.checkpoint(), b"y")
    with pytest.raises(LeaseLost):
        holder.store.get(holder.checkpoint())
    last = log_segment(grant.job_id, grant.attempt, grant.fence, 0)
    holder.store.put(last, b"the last line\n", if_absent=True)
    assert holder.behind.get(last) == b"the last line\n"
    heir = hold(service, jobs, "w2", grant.job_id)
    assert heir.store.get(holder.checkpoint()) == b"x"
    with pytest.raises(LeaseLost):
        holder.store.put(holder.checkpoint(), b"y")


def test_a_workers_token_opens_no_object(service: ServiceProcess, holder: Holder) -> None:
    stranger = ServiceClient(service.url, TOKEN)
    store = AttemptStore(stranger, holder.grant.attempt_id, "", PART_BYTES)
    with pytest.raises(StoreConfigError):
        store.put(holder.checkpoint(), b"x")


@pytest.fixture(params=["s3", "azure"])
def bucket(request: pytest.FixtureRequest, redis_url: str, tmp_path: Path) -> Iterator[Holder]:
    """An attempt of a service whose store signs URLs. The environment of this process has the bucket's credentials."""
    with ExitStack() as stack:
        server = stack.enter_context(store_server(request.param))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in server.environ.items():
            patch.setenv(name, value)
        settings = {**server.environ, "BATON_STORE": server.store_url("far")}
        service = stack.enter_context(running_service(tmp_path, redis_url, **settings))
        service.store_url = settings["BATON_STORE"]
        made = hold(service, Jobs(stack.enter_context(service.client())))
        stack.callback(made.client.close)
        yield made


def test_large_objects_go_by_signed_urls(
    bucket: Holder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    carried: list[str] = []
    send = ServiceClient.send

    def counted(self: ServiceClient, method: str, path: str, attempt: str, **options: Any) -> Any:
        answer = send(self, method, path, attempt, **options)
        carried.append(f"{method} {max(len(options.get('content', b'')), len(answer.content)) > 1 << 16}")
        return answer

    monkeypatch.setattr(ServiceClient, "send", counted)
    name = bucket.checkpoint()
    info = bucket.store.put(name, LARGE, if_absent=True)
    assert (info.size, info.crc32c) == (len(LARGE), crc32c_of(LARGE))
    assert bucket.behind.get(name) == bucket.store.get(name) == LARGE
    assert b"".join(bucket.store.open(name, 5, len(LARGE) - 7)) == LARGE[5:-7]
    assert bucket.store.download(name, tmp_path / "file").crc32c == crc32c_of(LARGE)
    assert not [one for one in carried if "True" in one], carried
    with pytest.raises(AlreadyExists):
        bucket.store.put(name, LARGE[::-1], if_absent=True)
    assert bucket.behind.get(name) == LARGE
    assert not caplog.records


def test_without_access_to_the_bucket_the_service_carries_the_bytes(
    bucket: Holder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def blocked(*_: Any, **__: Any) -> None:
        raise httpx.ConnectError("a firewall")

    monkeypatch.setattr(bucket.store._direct, "put", blocked)
    bucket.store.put(bucket.checkpoint(), LARGE)
    assert bucket.store.get(bucket.checkpoint()) == LARGE
    assert len(caplog.records) == 1
