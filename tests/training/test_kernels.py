"""What determines the kernels on a GPU: the flags that XLA reads, and the libraries that a process has loaded."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf

from worker.autotuning.folder import Folder
from worker.autotuning.transfer import NOT_COMPILED
from worker.settings import WorkerSettings
from worker.training import (
    environment,
    gpu_versions,
)
from worker.training.environment import NO_GPU, REPEATING_XLA, compiles, describe
from worker.training.gpu_versions import built_with, driver, kernel_machine, libraries
from worker.training.process import tensorflow

DOUBLED = "import tensorflow as tf; print(tf.function(lambda x: x * 2, jit_compile=True)(tf.constant(21.0)).numpy())"
# The versions that NVIDIA's libraries return: cuDNN 9.3.0, cuBLAS 12.5.3, CUDA 12.5.
FAKES = {
    "libcudnn.so.9": "unsigned long cudnnGetVersion(void) { return 90300; }",
    "libcublasLt.so.12": "unsigned long cublasLtGetVersion(void) { return 120503; }",
    "libcudart.so.12": "int cudaRuntimeGetVersion(int *version) { *version = 12050; return 0; }",
}
ASKED = """
import ctypes, sys
from worker.training.gpu_versions import libraries
for path in sys.argv[1:]:
    ctypes.CDLL(path)
print(libraries())
"""


def test_processors_compile_where_they_are_told_to() -> None:
    assert [compiles(xla) for xla in ("on", "off", "auto")] == [True, False, False]


def test_a_checkpoint_tells_whether_a_processor_compiled() -> None:
    """Compiled steps give slightly different results, so a resume without compilation is not exact."""
    plain, compiled = (describe(2, xla) for xla in ("auto", "on"))
    assert compiled == {**plain, "xla": compiled["xla"]}
    assert re.fullmatch(r"on, for a processor with features [0-9a-f]{12}", compiled["xla"])


@pytest.mark.process
def test_xla_knows_the_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA ends the process at an unknown flag. XLA for CPUs knows the flags for GPUs too."""
    monkeypatch.setenv("XLA_FLAGS", "")
    folder = Folder(tmp_path / "a cache's")
    folder.put(b"version: 3\n")
    folder.announce()
    done = subprocess.run([sys.executable, "-c", DOUBLED], env=os.environ, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "42.0", done.stderr[-2000:]
    assert not folder.written()  # on a CPU XLA does no autotuning
    folder.close()


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that TensorFlow has found a GPU."""
    card = {"device_name": "NVIDIA H100 80GB HBM3", "compute_capability": (9, 0)}
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda _kind: [SimpleNamespace(name="GPU:0")])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _gpu: card)
    for name in ("configure", "take_gpus"):
        monkeypatch.setattr(environment, name, lambda _count, **_more: None)


@pytest.mark.parametrize(("xla", "lacking"), [("auto", ""), ("off", NOT_COMPILED)])
def test_a_gpu_has_results_to_carry_or_a_reason(on_a_gpu: None, tmp_path: Path, xla: str, lacking: str) -> None:
    loaded = tensorflow(WorkerSettings(token="t", store="file:///none", cache=tmp_path, xla=xla))  # type: ignore[arg-type]
    assert loaded.compiler is not None
    assert (loaded.compiler.lacking, loaded.compiler.folder is None) == (lacking, bool(lacking))
    loaded.compiler.close()


def test_a_processor_carries_nothing(on_a_gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "describe", lambda _threads, _xla: {"gpu": NO_GPU})
    settings = WorkerSettings(token="t", store="file:///none", cache=tmp_path, xla="on")
    assert tensorflow(settings).compiler is None


def test_the_kernels_depend_on_the_card_its_driver_and_the_libraries(on_a_gpu: None) -> None:
    here = kernel_machine()
    assert (here["GPU"], here["compute capability"]) == ("NVIDIA H100 80GB HBM3", "9.0")
    others = {"driver", "CUDA runtime", "cuDNN", "cuBLAS", "TensorFlow", "TensorFlow's build", "Keras"}
    assert set(here) == {"GPU", "compute capability", *others}


def test_excluded_operations_are_part_of_the_bits_and_of_xlas_choices(
    on_a_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def both() -> tuple[dict[str, str], ...]:
        return describe(2, "auto"), kernel_machine()

    monkeypatch.delenv("XLA_FLAGS", raising=False)
    before = both()
    monkeypatch.setenv("XLA_FLAGS", f"--xla_dump_to=/tmp {REPEATING_XLA}")
    assert both() == tuple({**one, "nondeterministic ops": "excluded"} for one in before)


def asked(*paths: str) -> str:
    """The versions that a process reports which has loaded these libraries."""
    done = subprocess.run([sys.executable, "-c", ASKED, *paths], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.process
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_loaded_libraries_are_asked(tmp_path: Path) -> None:
    for name, code in FAKES.items():
        (tmp_path / "code.c").write_text(code)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / name, tmp_path / "code.c"], check=True)
    # A part of cuDNN without a version function, whose name begins like cuDNN's own.
    shutil.copy(tmp_path / "libcudart.so.12", tmp_path / "libcudnn_ops.so.9")
    paths = [str(tmp_path / name) for name in ("libcudnn_ops.so.9", *FAKES)]
    assert asked(*paths) == str({"CUDA runtime": "12.5", "cuDNN": "9.3.0", "cuBLAS": "12.5.3"})
    without = tmp_path / "other"
    without.mkdir()
    shutil.copy(tmp_path / "libcudart.so.12", without / "libcudnn.so.9")
    found = str({"CUDA runtime": "not loaded", "cuDNN": "unknown", "cuBLAS": "not loaded"})
    assert asked(str(without / "libcudnn.so.9")) == found


def test_library_versions_that_cannot_be_read_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_versions, "MAPS", tmp_path / "none")
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

    monkeypatch.setattr(ctypes, "CDLL", none)
    monkeypatch.setattr(gpu_versions, "DRIVER", tmp_path / "version")
    assert driver() == "unknown"
    (tmp_path / "version").write_text(text)
    assert driver() == "550.54.15"
