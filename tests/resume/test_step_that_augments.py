"""A step that selects and augments its own images: a run that stops anywhere and resumes ends with exactly the same
results.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from baton.domain.errors import JobFailure
from baton.domain.overrides import apply_overrides
from baton.domain.reasons import Reason
from baton.domain.spec import JobSpec, dump_spec, parse_spec
from tests.resume.in_process_run import Ending, assert_equal, run, spec
from worker.training.step import device_cache

pytestmark = pytest.mark.slow


def drawn(**changes: object) -> JobSpec:
    """The job of the other tests, with device augmentation in its first and second stage."""
    device = {"augmentation_engine": "device", "stages.1.augmentation": "paper-2"}
    return parse_spec(apply_overrides(dump_spec(spec()), device | changes))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Ending:
    return run(drawn(), tmp_path_factory.mktemp("whole") / "run")


def test_stopped_anywhere_the_bits_are_the_same(uninterrupted: Ending, tmp_path: Path) -> None:
    stops = tuple(1 + int(share * (uninterrupted.asked - 2)) for share in (0.2, 0.1, 0.6))
    assert_equal(uninterrupted, run(drawn(), tmp_path / "run", stops))


def test_images_that_do_not_fit_are_handed_over_and_change_no_bit(
    uninterrupted: Ending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_cache, "device_share", lambda: 1000)
    notes: list[tuple[str, str]] = []
    assert_equal(uninterrupted, run(drawn(), tmp_path / "run", notes=notes))
    assert [kind for kind, _ in notes] == ["images_on_host", "images_on_host"]
    assert "of 8 px) stay in host memory: the device has room for 0 MB more" in notes[0][1]


def test_without_augmentation_it_does_what_the_host_would(tmp_path: Path) -> None:
    plain = {"stages.*.augmentation": "none"}
    host = run(drawn(augmentation_engine="imgaug", **plain), tmp_path / "host")
    assert_equal(host, run(drawn(**plain), tmp_path / "device"))


def test_augmentation_of_the_step_is_not_imgaugs(uninterrupted: Ending, tmp_path: Path) -> None:
    host = run(drawn(augmentation_engine="imgaug"), tmp_path / "host")
    assert [row["loss"] for row in host.history] != [row["loss"] for row in uninterrupted.history]


def test_what_is_installed_beside_the_worker_stays_with_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = drawn().model_copy(update={"stages": (drawn().stages[0].model_copy(update={"augmentation": "acme.own"}),)})
    with pytest.raises(JobFailure, match=r"stages\.0\.augmentation: acme\.own.*augmentation_engine") as failed:
        run(own, tmp_path / "run")
    assert failed.value.reason is Reason.UNSUPPORTED
