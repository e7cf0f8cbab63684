"""Which worker of `baton up` trains on which GPU."""

from __future__ import annotations

import pytest

from baton.local import worker_gpus
from baton.local.errors import StackError
from baton.system.gpus import Gpu, parse

CARD = Gpu("NVIDIA H100", "550.1", 80 * 2**30)


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_gpus, "gpus", lambda: (CARD,) * 4)
    monkeypatch.setattr(worker_gpus, "_cpu_build", lambda: False)


def seen(workers: int | None, **environment: str) -> list[str | None]:
    """The value of CUDA_VISIBLE_DEVICES for each worker."""
    return [own.get("CUDA_VISIBLE_DEVICES") for own in worker_gpus.environments(workers, environment)]


def test_without_a_gpu_there_is_one_worker_that_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_gpus, "gpus", lambda: ())
    assert (seen(None), seen(3)) == ([None], [None] * 3)


@pytest.mark.usefixtures("four")
def test_each_gpu_has_a_worker_of_its_own() -> None:
    assert seen(None) == ["0", "1", "2", "3"]
    assert seen(2) == ["0", "1"]
    assert seen(5) == ["0", "1", "2", "3", "0"]


@pytest.mark.usefixtures("four")
def test_a_worker_has_as_many_as_train_one_job() -> None:
    assert seen(None, BATON_GPUS="2") == ["0,1", "2,3"]
    assert seen(None, BATON_GPUS="3") == ["0,1,2"]


@pytest.mark.usefixtures("four")
def test_workers_may_be_told_to_train_on_the_cpu() -> None:
    assert (seen(None, BATON_GPUS="0"), seen(2, BATON_GPUS="0")) == ([None], [None, None])


@pytest.mark.usefixtures("four")
def test_with_a_build_for_the_cpu_they_train_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_gpus, "_cpu_build", lambda: True)
    assert worker_gpus.environments(None, {}) == [{"BATON_GPUS": "0"}]
    assert worker_gpus.without_cuda({})
    assert not worker_gpus.without_cuda({"CUDA_VISIBLE_DEVICES": ""})
    assert worker_gpus.environments(1, {"BATON_GPUS": "2"}) == [
        {"CUDA_VISIBLE_DEVICES": "0,1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    ]


@pytest.mark.usefixtures("four")
def test_only_those_that_the_user_offers() -> None:
    assert seen(None, CUDA_VISIBLE_DEVICES="3, GPU-5a") == ["3", "GPU-5a"]
    assert seen(None, CUDA_VISIBLE_DEVICES="") == [None]


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(("each", "words"), [("5", "has 4 GPUs"), ("two", "whole number"), ("-1", "whole number")])
def test_what_cannot_be_is_said(each: str, words: str) -> None:
    with pytest.raises(StackError, match=words):
        worker_gpus.environments(None, {"BATON_GPUS": each})


def test_what_the_driver_prints_is_read() -> None:
    found = parse("NVIDIA H100 80GB HBM3, 550.54.15, 81559\nOrin, 36.4.0, [N/A]\n")
    assert [gpu.memory for gpu in found] == [81559 * 2**20, 0]
    assert (found[0].name, found[0].driver) == ("NVIDIA H100 80GB HBM3", "550.54.15")
