"""Rules for object names. They are the same in all adapters."""

import unicodedata

from baton.storage.errors import InvalidName

MAX_NAME_BYTES = 900  # Google Cloud Storage allows 1,024; the rest is for the prefix in the store's URL
MAX_SEGMENT_BYTES = 255  # NAME_MAX of common file systems
TEMP_FOLDER = ".baton-tmp"  # unfinished writes of the directory store; reserved in every store


def checked_name(name: str) -> str:
    """Return `name` if it is a valid object name: '/'-separated, relative, UTF-8, at most 900 bytes.

    Raises InvalidName for empty, '.' and '..' segments, segments over 255 bytes, backslashes, control characters,
    lone surrogates and names inside the reserved folder.
    """
    if not name:
        raise InvalidName("An object name must not be empty.")
    _check_characters(name)
    for segment in name.split("/"):
        _check_segment(name, segment)
    _check_reserved(name)
    return name


def checked_prefix(prefix: str) -> str:
    """Return `prefix` if a valid name can start with it. '' and a trailing '/' are allowed. Raises InvalidName."""
    if prefix:
        _check_characters(prefix)
        _check_reserved(prefix)
        *folders, _ = prefix.split("/")  # the last part is only the start of a name: '..' may become '..a'
        for segment in folders:
            _check_segment(prefix, segment)
    return prefix


def _check_characters(name: str) -> None:
    if "\\" in name or any(unicodedata.category(char) == "Cc" for char in name):
        raise InvalidName(f"The object name {name!r} has a backslash or a control character. Use a name without it.")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise InvalidName(f"The object name {name!r} is not valid Unicode and cannot be encoded as UTF-8.") from error
    if size > MAX_NAME_BYTES:
        raise InvalidName(f"The object name {name[:40]!r}... has {size} bytes; at most {MAX_NAME_BYTES} are allowed.")


def _check_segment(name: str, segment: str) -> None:
    if segment in ("", ".", ".."):
        raise InvalidName(f"The object name {name!r} is not a plain path: remove a leading '/', '//', '.' and '..'.")
    if len(segment.encode()) > MAX_SEGMENT_BYTES:
        raise InvalidName(f"A part of the object name {name[:40]!r}... is over {MAX_SEGMENT_BYTES} bytes; shorten it.")


def _check_reserved(name: str) -> None:
    if name.split("/", 1)[0] == TEMP_FOLDER:
        raise InvalidName(f"The object name {name!r} is in {TEMP_FOLDER!r}, which is reserved; choose another.")
