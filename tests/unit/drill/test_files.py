"""Files are compared by what is in them, and nothing in them is run."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections import OrderedDict, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from baton.adapters.state_files import write_tree
from baton.drill.compare import compare_leaves
from baton.drill.files.readers import how_much, read_leaves


def odd(one: Path, other: Path) -> list[str]:
    found: list[str] = []
    compare_leaves(read_leaves(one), read_leaves(other), one.name, lambda name, text, kind="value": found.append(name))
    return found


def two(folder: Path) -> tuple[Path, Path]:
    for name in ("one", "other"):
        (folder / name).mkdir()
    return folder / "one", folder / "other"


ARRAYS = {"w": np.arange(6.0, dtype=np.float32).reshape(2, 3), "n": np.array(3), "flag": np.array([True])}
CHANGED = {**ARRAYS, "w": ARRAYS["w"] + np.float32(1e-7) * np.eye(2, 3, dtype=np.float32)}


def write(file: Path, arrays: dict[str, Any]) -> None:
    if file.suffix == ".npz":
        np.savez(file, **arrays)
    elif file.suffix == ".safetensors":
        save_file(arrays, file, {"made by": "a test"})
    elif file.suffix == ".pkl":
        file.write_bytes(pickle.dumps(arrays))
    else:
        import h5py

        with h5py.File(file, "w") as out:
            for name, value in arrays.items():
                out.create_dataset(f"layers/{name}", data=value)


@pytest.mark.parametrize("ending", ["npz", "safetensors", "h5", "pkl"])
def test_the_array_that_differs_is_named(ending: str, tmp_path: Path) -> None:
    one, other = two(tmp_path)
    write(one / f"a.{ending}", ARRAYS)
    write(other / f"a.{ending}", ARRAYS)
    assert odd(one / f"a.{ending}", other / f"a.{ending}") == []
    write(other / f"a.{ending}", CHANGED)
    (found,) = odd(one / f"a.{ending}", other / f"a.{ending}")
    assert found.split(": ")[1].removeprefix("layers/").startswith("w")


def test_type_shape_and_sign_of_zero_count(tmp_path: Path) -> None:
    for number, value in enumerate((np.zeros(4), np.zeros(4, np.float32), np.zeros((2, 2)), -np.zeros(4))):
        np.save(tmp_path / f"{number}.npy", value)
    digests = {leaf.digest for k in range(4) for leaf in read_leaves(tmp_path / f"{k}.npy").values()}
    assert len(digests) == 4


def test_it_says_how_much_arrays_differ(tmp_path: Path) -> None:
    one, other = two(tmp_path)
    for folder, last in ((one, 2.0), (other, 2.5)):
        np.savez(folder / "a.npz", w=np.array([0.0, 1.0, last]))
    first, second = (read_leaves(folder / "a.npz")["w"] for folder in (one, other))
    assert how_much(first, second) == "<f8 [3], 1 of 3 elements, largest difference 0.5"


def test_trees_of_adapters_are_read_as_arrays_and_values(tmp_path: Path) -> None:
    one, other = two(tmp_path)
    for folder, rate in ((one, 0.1), (other, 0.2)):
        write_tree(folder, "state", {"rate": rate, "weights": [np.arange(3)]})
    assert odd(one / "state.npz", other / "state.npz") == []
    assert odd(one / "state.json", other / "state.json") == ["state.json: rate"]


def test_pickles_of_equal_content_are_equal(tmp_path: Path) -> None:
    one, other = two(tmp_path)
    text = "x" * 30
    shared, apart = {"a": text, "b": text}, {"a": text, "b": "".join([*text])}
    (one / "a.pkl").write_bytes(pickle.dumps(shared))
    (other / "a.pkl").write_bytes(pickle.dumps(apart))
    assert (one / "a.pkl").read_bytes() != (other / "a.pkl").read_bytes()
    assert odd(one / "a.pkl", other / "a.pkl") == []


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["EVIL"],)


class Estimator:
    def __init__(self) -> None:
        self.weights = np.arange(3.0)


def test_an_array_in_an_object_is_named(tmp_path: Path) -> None:
    one, other = two(tmp_path)
    model = Estimator()
    (one / "a.pkl").write_bytes(pickle.dumps({"model": model}))
    model.weights[1] = 7
    (other / "a.pkl").write_bytes(pickle.dumps({"model": model}))
    assert odd(one / "a.pkl", other / "a.pkl") == ["a.pkl: model.state.weights.state.4"]


def test_a_pickle_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVIL", str(tmp_path / "made"))
    content = {"evil": Evil(), "order": OrderedDict(a=1), "queue": deque([1]), "set": {1, 2}, "array": np.arange(3)}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    assert len(read_leaves(tmp_path / "a.pkl")) > 4
    assert not (tmp_path / "made").exists()


def test_a_keras_file_is_compared_without_times_and_addresses(tmp_path: Path) -> None:
    one, other = two(tmp_path)
    write(tmp_path / "w.h5", ARRAYS)
    for number, folder in enumerate((one, other)):
        with zipfile.ZipFile(folder / "a.keras", "w") as archive:
            archive.writestr("metadata.json", json.dumps({"date_saved": number}))
            archive.writestr("config.json", json.dumps({"units": 3, "dtype": {"shared_object_id": number}}))
            archive.write(tmp_path / "w.h5", "model.weights.h5")
    assert odd(one / "a.keras", other / "a.keras") == []
    assert "config.json: units" in read_leaves(one / "a.keras")


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.safetensors", "a.pt", "a.pkl", "a.json", "a.keras", "a.h5"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01", b"\xff" * 100, b"\x80\x04."])
def test_a_file_that_is_not_what_its_name_says_is_bytes(name: str, content: bytes, tmp_path: Path) -> None:
    one, other = two(tmp_path)
    for folder in (one, other):
        (folder / name).write_bytes(content)
    assert odd(one / name, other / name) == []
    (other / name).write_bytes(content + b"1")
    assert odd(one / name, other / name) != []


def test_a_line_of_a_text_is_named(tmp_path: Path) -> None:
    one, other = two(tmp_path)
    (one / "log.csv").write_text("step,loss\n1,0.5\n2,0.25\n")
    (other / "log.csv").write_text("step,loss\n1,0.5\n2,0.75\n")
    assert odd(one / "log.csv", other / "log.csv") == ["log.csv: line 3"]
