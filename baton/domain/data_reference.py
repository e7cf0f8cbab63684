"""How a spec and a command name pushed data: NAME, or NAME@sha256:DIGEST for one version of it."""

from __future__ import annotations

import re
from typing import NamedTuple, Self

_NAME = "[a-z0-9][a-z0-9._-]{0,62}"
_FORM = re.compile(f"({_NAME})(?:@sha256:([0-9a-f]{{64}}))?")
DATA_NAME, REFERENCE_PATTERN = f"^{_NAME}$", f"^{_FORM.pattern}$"


class DataReference(NamedTuple):
    """Pushed data. `digest`: of one version, 64 hexadecimal digits; None: the newest version.

    >>> DataReference.parse("photos")
    DataReference(name='photos', digest=None)
    >>> str(DataReference("photos", "0" * 64)) == "photos@sha256:" + "0" * 64
    True
    """

    name: str
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read NAME or NAME@sha256:DIGEST. Raises ValueError."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError(
                "must be NAME or NAME@sha256:DIGEST; a name has up to 63 lower-case letters, digits, '.', '_' and '-', "
                "a digest 64 hexadecimal digits"
            )
        return cls(found[1], found[2])

    def __str__(self) -> str:
        return self.name if self.digest is None else f"{self.name}@sha256:{self.digest}"
