"""Makes external text (file names, exceptions, program output) safe for JSON, UTF-8 and databases."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_SURROGATE = re.compile("[\ud800-\udfff]")
UNPRINTABLE = "(no text: printing it failed)"


def safe(text: str) -> str:
    r"""The text with each lone surrogate escaped, so that it can be encoded in UTF-8.

    Python reads a byte of a file name that is not UTF-8 as a surrogate from U+DC80 to U+DCFF. Such a
    surrogate is shown as its byte.

    >>> safe("caf\udce9.png")
    'caf\\xe9.png'
    """
    return text if text.isascii() else _SURROGATE.sub(_written_out, text)


def same_everywhere(name: str) -> str:
    """A file name in Unicode normal form C on every machine: macOS decomposes accents, other systems do not."""
    return name if name.isascii() else unicodedata.normalize("NFC", safe(name))


def words_of(make: Callable[[], object]) -> str:
    """The result of `make` as safe text. UNPRINTABLE if it raises, as the `__str__` of an exception may."""
    try:
        return safe(str(make()))
    except Exception:
        return UNPRINTABLE


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
