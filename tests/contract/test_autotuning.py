"""Autotuning results in every kind of store: each content is stored once, and is read back unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from baton.domain.manifest import programs_prefix
from baton.domain.spec import parse_spec
from baton.storage import BlobStore
from baton.storage.errors import NotFound
from worker.autotuning.folder import Folder
from worker.autotuning.transfer import Compiler, ResultsTransfer, UnusableResults

pytestmark = pytest.mark.process

DATA = b"version: 3\n" + b"results {\n}\n" * 10_000
MACHINE = {"GPU": "NVIDIA H100 80GB HBM3, NVIDIA H100 80GB HBM3", "TensorFlow": "2.21.0"}
SPEC = {"name": "n", "network": {"name": "network-2"}, "dataset": {"name": "digits"}, "stages": [{"epochs": 1}]}


def transfer(store: BlobStore, folder: Folder, tmp_path: Path) -> ResultsTransfer:
    return Compiler(MACHINE, tmp_path, folder).transfer(store, "j" * 32, parse_spec(SPEC))


@pytest.fixture(autouse=True)
def flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "")


def test_another_process_has_what_one_process_sends(store: BlobStore, tmp_path: Path) -> None:
    here, there = Folder(tmp_path / "runs"), Folder(tmp_path / "runs")
    here.file.write_bytes(DATA)
    one = transfer(store, here, tmp_path)
    sent = [one.send(one.found()) for _ in range(2)]
    # After a lost response the write is repeated, also by another process.
    sent.append(transfer(store, here, tmp_path).send(here.found()))
    assert sent == [sent[0]] * 3
    assert [blob.name for blob in store.list(programs_prefix("j" * 32) + "/")] == [sent[0].files[0].object]
    transfer(store, there, tmp_path).restore(sent[0], store.get)
    assert there.file.read_bytes() == DATA
    store.delete(sent[0].files[0].object)
    with pytest.raises(UnusableResults) as raised:
        transfer(store, there, tmp_path).restore(sent[0], store.get)
    assert isinstance(raised.value.__cause__, NotFound)
    for folder in (here, there):
        folder.close()
