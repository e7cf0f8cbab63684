"""A .keras file is loaded in plain Keras in a separate process. Training continues, whatever the result is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import pytest

import models
from worker.attempt.protocols import Stopped
from worker.training.output.readback import Readback
from worker.training.output.readback.__main__ import _load

MODULE = "tests.support.fake_readback"
SECONDS = 120.0


@dataclass
class Outside:
    """The part of a control that the check uses."""

    notes: list[tuple[str, str, Mapping[str, Any] | None]] = field(default_factory=list)

    def note(self, kind: str, message: str, data: Mapping[str, Any] | None = None) -> None:
        self.notes.append((kind, message, data))


def nothing() -> None:
    """Do nothing between two checks."""


def writing(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(text)

    return write


def readback(outside: Outside, *, enabled: bool = True, module: str = MODULE) -> Readback:
    return Readback(outside, "mine", enabled=enabled, module=module)  # type: ignore[arg-type]


@pytest.mark.process
@pytest.mark.parametrize(
    ("reader", "told"),
    [
        ("loads", []),
        ("refuses", ["plain Keras cannot load latest.keras: first of mine: a Python lambda. The job continues"]),
        ("needs", ["plain Keras loads latest.keras only after the package of network mine is imported"]),
        ("fails", []),
    ],
)
def test_the_first_file_is_loaded_back_once(
    reader: str, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("READER", reader)
    outside = Outside()
    made = readback(outside)
    made.watching("latest.keras", writing("first"))(tmp_path / "latest.keras")
    made.watching("best.keras", writing("second"))(tmp_path / "best.keras")
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["second", "first"]
    made.finish(nothing)
    assert [kind for kind, _, _ in outside.notes] == ["file_unreadable"] * len(told)
    assert all(note_text.startswith(text) for (_, note_text, _), text in zip(outside.notes, told, strict=True))
    made.close()


@pytest.mark.process
def test_a_stop_gives_the_check_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READER", "hangs")
    outside = Outside()
    made = readback(outside)
    made.watching("latest.keras", writing("first"))(tmp_path / "latest.keras")

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        made.finish(stop)
    made.close()
    thread = made._thread
    assert thread is not None
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert outside.notes == []


def test_nothing_is_checked_where_reports_are_off(tmp_path: Path) -> None:
    made = readback(Outside(), enabled=False)
    made.watching("latest.keras", writing("first"))(tmp_path / "latest.keras")
    made.finish(pytest.fail)
    assert made._thread is None


def test_a_full_disk_fails_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("worker.training.output.readback.shutil.copyfile", full)
    made = readback(Outside())
    made.watching("latest.keras", writing("first"))(tmp_path / "latest.keras")
    made.finish(nothing)
    assert (tmp_path / "latest.keras").read_text() == "first"


class Unregistered(keras.layers.Layer):
    """A layer that plain Keras does not know."""

    def call(self, x: Any) -> Any:
        return x


def of(layer: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((None, None, 3)), layer, keras.layers.GlobalMaxPooling2D()])


@pytest.mark.parametrize("name", ["network-1", "network-2"])
def test_plain_keras_loads_the_networks_of_baton(name: str, tmp_path: Path) -> None:
    models.build(name, classes=3, width=0.02, seed=1, dropout=0.1).save(tmp_path / "m.keras")
    assert _load(str(tmp_path / "m.keras")) == ""


def test_it_says_what_plain_keras_says_of_a_class_that_is_not_registered(tmp_path: Path) -> None:
    of(Unregistered()).save(tmp_path / "m.keras")
    assert "Could not locate class 'Unregistered'" in _load(str(tmp_path / "m.keras"))


@pytest.mark.process
def test_a_python_lambda_is_refused_in_a_process_without_the_network(tmp_path: Path) -> None:
    outside, model = Outside(), of(keras.layers.Lambda(lambda x: x * 2.0 - 1.0))
    made = readback(outside, module="worker.training.output.readback")
    made.watching("best.keras", model.save)(tmp_path / "best.keras")
    made.finish(nothing)
    ((kind, message, data),) = outside.notes
    assert kind == "file_unreadable"
    assert message.startswith("plain Keras cannot load best.keras: ")
    assert "Python lambda" in message
    assert "register_keras_serializable" in message
    assert data is not None
    assert not data["with_package"]
