"""A GPU that the driver reports and TensorFlow cannot use. The driver and TensorFlow's build are fakes here."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from worker.training import devices
from worker.training.devices import gpu_problem

CUDA = {"is_cuda_build": True, "cuda_version": "12.5.1", "cudnn_version": "9"}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "driver_shows_gpu", lambda _environment: True)
    monkeypatch.setattr(devices, "driver_trouble", lambda: None)


def built(monkeypatch: pytest.MonkeyPatch, **build: Any) -> None:
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {**CUDA, **build})


def test_without_a_gpu_there_is_no_problem() -> None:
    assert gpu_problem(1, {"CUDA_VISIBLE_DEVICES": ""}) is None


@pytest.mark.usefixtures("shown")
def test_the_cpu_may_be_chosen() -> None:
    assert gpu_problem(0) is None


@pytest.mark.usefixtures("shown")
def test_a_build_without_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    built(monkeypatch, is_cuda_build=False)
    problem = str(gpu_problem(1))
    assert f"{tf.__version__} is built without CUDA" in problem
    assert "BATON_GPUS=0" in problem


@pytest.mark.usefixtures("shown")
def test_a_missing_library_is_named_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    built(monkeypatch)
    monkeypatch.setattr(devices, "missing_libraries", lambda names: {names[-1]: "cannot open shared object file"})
    problem = str(gpu_problem(1))
    assert "libcudnn.so.9 cannot be loaded (cannot open shared object file)" in problem
    assert "built for CUDA 12.5.1 and cuDNN 9" in problem


@pytest.mark.usefixtures("shown")
def test_a_driver_that_does_not_start_is_named_first(monkeypatch: pytest.MonkeyPatch) -> None:
    built(monkeypatch)
    monkeypatch.setattr(devices, "driver_trouble", lambda: "NVIDIA's driver cannot be started: error 803")
    assert "error 803" in str(gpu_problem(1))


@pytest.mark.usefixtures("shown")
def test_with_all_libraries_there_its_log_is_pointed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    built(monkeypatch)
    monkeypatch.setattr(devices, "missing_libraries", lambda _names: {})
    monkeypatch.setattr(devices, "driver_cuda", lambda: "12.2")
    problem = str(gpu_problem(1))
    assert "the driver supports CUDA 12.2" in problem
    assert "TF_CPP_MIN_LOG_LEVEL=0" in problem
