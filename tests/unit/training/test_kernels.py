"""What decides the kernels on a GPU: the flags that XLA reads, and the libraries that a process has loaded."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from worker.autotuning.folder import Folder
from worker.training import versions
from worker.training.environment import compiles
from worker.training.versions import built_with, driver, libraries

DOUBLED = "import tensorflow as tf; print(tf.function(lambda x: x * 2, jit_compile=True)(tf.constant(21.0)).numpy())"
# As NVIDIA's libraries answer: cuDNN 9.3.0, cuBLAS 12.5.3, CUDA 12.5.
FAKES = {
    "libcudnn.so.9": "unsigned long cudnnGetVersion(void) { return 90300; }",
    "libcublasLt.so.12": "unsigned long cublasLtGetVersion(void) { return 120503; }",
    "libcudart.so.12": "int cudaRuntimeGetVersion(int *version) { *version = 12050; return 0; }",
}
ASKED = """
import ctypes, sys
from worker.training.versions import libraries
for path in sys.argv[1:]:
    ctypes.CDLL(path)
print(libraries())
"""


def test_processors_compile_where_they_are_told_to() -> None:
    assert [compiles(xla) for xla in ("on", "off", "auto")] == [True, False, False]


def test_xla_knows_the_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag that XLA does not know ends the process. A processor's XLA knows those of GPUs."""
    monkeypatch.setenv("XLA_FLAGS", "")
    folder = Folder(tmp_path / "a cache's")
    folder.put(b"version: 3\n")
    folder.announce()
    done = subprocess.run([sys.executable, "-c", DOUBLED], env=os.environ, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "42.0", done.stderr[-2000:]
    assert not folder.written()  # nothing is measured on a processor
    folder.close()


def asked(*paths: str) -> str:
    """What a process says that has loaded these."""
    done = subprocess.run([sys.executable, "-c", ASKED, *paths], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_loaded_libraries_are_asked(tmp_path: Path) -> None:
    for name, code in FAKES.items():
        (tmp_path / "code.c").write_text(code)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / name, tmp_path / "code.c"], check=True)
    # A part of cuDNN that answers nothing; its name begins like that of cuDNN itself.
    shutil.copy(tmp_path / "libcudart.so.12", tmp_path / "libcudnn_ops.so.9")
    paths = [str(tmp_path / name) for name in ("libcudnn_ops.so.9", *FAKES)]
    assert asked(*paths) == str({"CUDA runtime": "12.5", "cuDNN": "9.3.0", "cuBLAS": "12.5.3"})
    without = tmp_path / "other"
    without.mkdir()
    shutil.copy(tmp_path / "libcudart.so.12", without / "libcudnn.so.9")
    found = str({"CUDA runtime": "not loaded", "cuDNN": "unknown", "cuBLAS": "not loaded"})
    assert asked(str(without / "libcudnn.so.9")) == found


def test_where_nothing_can_be_asked_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "MAPS", tmp_path / "none")
    assert set(libraries().values()) == {"not loaded"}
    assert built_with({"cuda_version": "12.5.1", "cudnn_version": "9"}) == "CUDA 12.5.1, cuDNN 9"
    assert built_with({}) == "CUDA unknown, cuDNN unknown"


@pytest.mark.parametrize(
    "text",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: 12\n",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (dvs-builder@U16)\n",
    ],
    ids=["closed", "open"],
)
def test_the_driver_is_asked_of_the_kernel_without_its_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def none(_name: str) -> ctypes.CDLL:
        raise OSError("no such library")

    monkeypatch.setattr(versions.ctypes, "CDLL", none)
    monkeypatch.setattr(versions, "DRIVER", tmp_path / "version")
    assert driver() == "unknown"
    (tmp_path / "version").write_text(text)
    assert driver() == "550.54.15"
