"""Trees of arrays and values in the files of a save."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from baton.adapters.random_states import random_states, set_random_states
from baton.adapters.state_files import Bits, read_tree, write_tree
from baton.program.errors import ProgramError

FOUND = {
    "plain": {"none": None, "yes": True, "large": 1 << 130, "text": "a/b", "list": [1, (2, "x")], "empty": {}},
    "floats": [0.1, float("inf"), float("-inf")],
    "keys": {0: "integer", (1, "x"): b"\x00\xff", "$array": "not an array"},
}


def through(folder: Path, tree: Any) -> Any:
    write_tree(folder, "state", tree)
    return read_tree(folder, "state")


def test_values_and_keys_of_all_types_come_back(tmp_path: Path) -> None:
    found = through(tmp_path, FOUND)
    assert found == FOUND
    assert type(found["plain"]["list"][1]) is tuple
    assert np.isnan(through(tmp_path, [float("nan")])[0])


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float64", "complex64", "U3", "datetime64[s]"])
def test_arrays_come_back_with_their_type_and_shape(tmp_path: Path, dtype: str) -> None:
    for shape in ((), (0, 2), (2, 3)):
        array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
        found = through(tmp_path, {"one": array, "other": array})["one"]
        assert (found.dtype, found.shape) == (array.dtype, shape)
        assert found.tobytes() == array.tobytes()
    scalar = through(tmp_path, [np.float32(0.1)])[0]
    assert type(scalar) is np.float32


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, ml_dtypes.float8_e4m3fn])
def test_types_that_numpy_does_not_have_come_back_as_bits(tmp_path: Path, dtype: Any) -> None:
    array = np.array([[0.5, -2.0]], dtype)
    unsigned = array.view(f"u{array.dtype.itemsize}")
    found = through(tmp_path, {"a": array, "b": Bits(array.dtype.name, unsigned)})
    for bits in found.values():
        assert bits.dtype == array.dtype.name
        assert (bits.values.view(dtype) == array).all()


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        ({"model": [object()]}, "state.model.0"),
        ({"x": np.array([None])}, "state.x"),
        ({"x": {1.5j: 1}}, "a key of state.x"),
        ({"x": {1, 2}}, "state.x"),
    ],
)
def test_what_cannot_be_stored_is_named(tmp_path: Path, tree: Any, place: str) -> None:
    with pytest.raises(ProgramError, match=place):
        write_tree(tmp_path, "state", tree)


def test_a_file_is_never_unpickled(tmp_path: Path) -> None:
    write_tree(tmp_path, "state", {"x": np.zeros(2)})
    np.savez(tmp_path / "state.npz", **{"0 state.x": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(ProgramError, match=r"state\.json and state\.npz"):
        read_tree(tmp_path, "state")


def test_damaged_and_missing_files_are_errors_of_the_save(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"state\.json"):
        read_tree(tmp_path, "state")
    write_tree(tmp_path, "state", {"x": np.arange(1000)})
    data = bytearray((tmp_path / "state.npz").read_bytes())
    data[500] ^= 1
    (tmp_path / "state.npz").write_bytes(data)
    with pytest.raises(ProgramError, match=r"state\.npz"):
        read_tree(tmp_path, "state")


def test_the_generators_of_python_and_numpy_continue(tmp_path: Path) -> None:
    random.gauss(0, 1)  # half of a pair is kept for the next call
    np.random.normal()
    states = through(tmp_path, random_states())
    drawn = [random.gauss(0, 1), random.random(), np.random.normal(), np.random.random()]
    set_random_states(states)
    assert drawn == [random.gauss(0, 1), random.random(), np.random.normal(), np.random.random()]
