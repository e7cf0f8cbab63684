"""The worker shortens notes that are too long for the service, and the service accepts every shortened note."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from baton.domain.note_limits import MAX_NOTE_DATA, MAX_NOTE_TEXT, data_size, fitting_data, fitting_text
from baton.domain.wire import Note


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"a": 1},
        {"a": "x" * 1_000_000},
        {"a": "é" * 16_000, "b": 2},
        {f"key-{k}": "x" * 100 for k in range(1_000)},
        {"x" * 20_000: 1, "b": 2},
        {"a": [[1.5] * 5_000], "b": {"c": "\U0001f600" * 10_000}},
        {"a": float("nan"), "b": 2**80},
    ],
)
def test_whatever_is_cut_is_taken(data: dict[str, Any]) -> None:
    found = fitting_data(data)
    assert Note(fence=1, kind="hello", message=fitting_text("m" * 100_000), data=found).data == found
    if data_size(data) <= MAX_NOTE_DATA:
        assert found == data
    else:
        assert found["cut"] is True
        assert set(found) <= {*data, "cut"}


def test_short_values_beside_a_long_one_stay() -> None:
    found = fitting_data({"a": "x" * 1_000_000, "b": 2})
    assert (found["b"], found["a"]) == (2, "x" * 250)


def test_a_text_that_is_cut_says_how_long_it_was() -> None:
    assert fitting_text("x" * MAX_NOTE_TEXT) == "x" * MAX_NOTE_TEXT
    assert Note(fence=1, kind="hello", message=fitting_text("\ud800" * MAX_NOTE_TEXT)).message.startswith("\\ud800")
    found = fitting_text("x" * (MAX_NOTE_TEXT + 1))
    assert len(found) == MAX_NOTE_TEXT
    assert found.endswith("… (cut: 20001 characters)")


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"data\n.*has 16385 bytes as JSON, and the limit is 16384"):
        Note(fence=1, kind="hello", message="", data={"a": "x" * (MAX_NOTE_DATA - 7)})
