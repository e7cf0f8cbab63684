"""The arguments of a call of `fit` on which the meaning of a position depends, and their comparison at a restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from baton.keras.feeds import Feed
from baton.program.errors import ProgramError

NAMES = {
    "kind": "kind of {}",
    "samples": "number of samples of {}",
    "batches": "number of batches of {}",
    "batch_size": "{}batch_size",
    "order": "order of {}",
    "seed": "seed",
}
"""What a feed says of itself, in the words of an error; {} is the argument."""


def of_data(feed: Feed | None, *, validation: bool) -> dict[str, Any]:
    """What decides which batch has which index, by the names for an error."""
    argument, prefix = ("validation_data", "validation_") if validation else ("x", "")
    found = {"kind": "nothing"} if feed is None else feed.description()
    return {
        NAMES[name].format(prefix if name == "batch_size" else argument): value
        for name, value in found.items()
        if not (validation and name == "seed")
    }


def plain(value: Any) -> Any:
    """A number, a set of whole numbers, or a mapping of numbers, as JSON.

    >>> plain({1: 0.5}), plain((2, 1)), plain(None)
    ([[1, 0.5]], [1, 2], None)
    """
    if isinstance(value, Mapping):
        return [[int(key), float(one)] for key, one in sorted(value.items())]
    if isinstance(value, Iterable):
        return sorted(int(one) for one in value)
    return value.item() if hasattr(value, "item") else value


def check_same(saved: Mapping[str, Any], now: Mapping[str, Any], call: int) -> None:
    """Check that this call of `fit` has the arguments of the one that made the save.

    Names that the save does not have are not compared: an older version of Baton made it.

    Raises:
        ProgramError: one differs, so the position in the save means other batches.

    >>> check_same({"steps_per_epoch": 4}, {"steps_per_epoch": 4, "new": 1}, 0)
    >>> check_same({"steps_per_epoch": 4}, {"steps_per_epoch": 5}, 0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    baton.program.errors.ProgramError: call 1 of fit: steps_per_epoch was 4 when the run was saved, and is 5 now. ...
    """
    changed = [
        f"{name} was {saved[name]} when the run was saved, and is {value} now"
        for name, value in now.items()
        if name in saved and saved[name] != value
    ]
    if changed:
        raise ProgramError(
            f"call {call + 1} of fit: {'; '.join(changed)}. The run could not continue exactly. Pass the same data and "
            "arguments (only epochs may grow), or begin a new run: without a worker, delete the folder of the run"
        )
