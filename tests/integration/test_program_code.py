"""Code on its whole way: from a folder, by the service, to a worker that has no access to the store of its own."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from baton.client.client import Client
from baton.domain.extensions import PROGRAMS
from baton.domain.protocol_versions import PROTOCOL, SPEC_VERSION
from baton.domain.wire import Claim, WorkerInfo
from tests.support.jobs import Jobs
from tests.support.service import TOKEN, ServiceProcess
from worker.api_client.client import ServiceClient
from worker.fetched.entries import Entries
from worker.programs.code import unpacked
from worker.store_access.attempt_store import AttemptStore

pytestmark = pytest.mark.process


def test_a_folder_arrives_as_it_was_sent(service: ServiceProcess, jobs: Jobs, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    files = {"train.py": b"print(1)\n", "src/pkg/big.bin": bytes(9_000_000), "src/pkg/__init__.py": b""}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    with Client(service.url, TOKEN) as client:
        pushed, again = client.push_code(folder), client.push_code(folder)
    assert (pushed.sent, again.sent, pushed.files, again.code) == (True, False, 3, pushed.code)
    job_id = jobs.submit({"name": "mine", "program": {"command": ["python", "train.py"], "code": pushed.code}})
    client = ServiceClient(service.url, TOKEN, "w1")
    worker = WorkerInfo(
        name="w1", host="h", pid=1, version="1", protocol=PROTOCOL, spec_version=SPEC_VERSION, extensions=(PROGRAMS,)
    )
    attempt = jobs.items(job_id, "attempts")[-1]["id"]
    grant = client.claim(attempt, Claim(claim_id=uuid.uuid4().hex, worker=worker))
    assert grant.store is not None
    entries = Entries(tmp_path / "cache")
    store = AttemptStore(client, attempt, grant.store.url, grant.store.part_bytes)
    found = unpacked(entries, store, pushed.code)
    assert {name: (found / name).read_bytes() for name in files} == files
    entries.close()
    client.close()
