"""Compiled programs in every kind of store: each content once, and read back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.domain.manifest import programs_prefix
from core.storage import BlobStore
from core.storage.errors import NotFound
from worker.programs.carrier import Carrier, UnusableProgram
from worker.programs.folder import AUTOTUNING, Folder
from worker.programs.key import ProgramKey
from worker.programs.machine import MachineCache

STEP = "xla_compile_cache__16020697775918103416__14167204662104854032__XLA_GPU_JIT.pb"
FILES = {STEP: bytes(range(256)) * 4000, AUTOTUNING: b"version: 3\n"}


def carrier(store: BlobStore, folder: Folder, tmp_path: Path) -> Carrier:
    key = ProgramKey({"GPU": "NVIDIA H100 80GB HBM3, NVIDIA H100 80GB HBM3", "TensorFlow": "2.21.0"})
    return Carrier(store, "j" * 32, key, folder, MachineCache(tmp_path / "sets"))


@pytest.fixture(autouse=True)
def flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "")


def test_what_one_process_sends_another_has(store: BlobStore, tmp_path: Path) -> None:
    here, there = Folder(tmp_path / "runs"), Folder(tmp_path / "runs")
    for name, data in FILES.items():
        (here.path / name).write_bytes(data)
    one = carrier(store, here, tmp_path)
    sent = [one.send(one.found()) for _ in range(2)]
    # A try whose answer got lost is made again, by who may have forgotten it.
    sent.append(carrier(store, here, tmp_path).send(here.found()))
    assert sent == [sent[0]] * 3
    assert {blob.name for blob in store.list(programs_prefix("j" * 32) + "/")} == {f.object for f in sent[0].files}
    carrier(store, there, tmp_path).restore(sent[0], store.get)
    assert {program.name: program.data for program in there.found()} == FILES
    store.delete(sent[0].files[0].object)
    with pytest.raises(UnusableProgram) as raised:
        carrier(store, there, tmp_path).restore(sent[0], store.get)
    assert isinstance(raised.value.__cause__, NotFound)
    for folder in (here, there):
        folder.close()
