"""Limits of what a training program records, saves and publishes. Without dependencies: training programs import it."""

from __future__ import annotations

import unicodedata

MAX_PROGRAM_EPOCHS = 100_000
"""The most rows in the history of a program."""

MAX_PATH_BYTES, MAX_PART_BYTES = 770, 255
"""Of the path of a file in a save: a store allows 900 bytes for it and the prefix of the checkpoint."""


def too_many_epochs(epoch: int) -> str | None:
    """What is wrong with the number of a row; None: nothing.

    >>> too_many_epochs(100_000) is None
    True
    """
    if epoch <= MAX_PROGRAM_EPOCHS:
        return None
    return f"{epoch} is more than {MAX_PROGRAM_EPOCHS:,}: record fewer rows, and log the other values as series"


def path_problem(path: str) -> str | None:
    """What is wrong with the path of a file in a save, relative to its folder; None: nothing.

    >>> path_problem("weights/layer 1.npy") is None
    True
    >>> path_problem("a" + chr(92) + "b")
    'has a backslash or a control character'
    """
    if "\\" in path or any(unicodedata.category(char) == "Cc" for char in path):
        return "has a backslash or a control character"
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    if size > MAX_PATH_BYTES:
        return f"has {size} bytes; at most {MAX_PATH_BYTES} are allowed"
    if any(len(part.encode()) > MAX_PART_BYTES for part in path.split("/")):
        return f"has a part with more than {MAX_PART_BYTES} bytes"
    return None
