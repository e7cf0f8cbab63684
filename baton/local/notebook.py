"""The cell that turns a notebook's machine into a worker. examples/colab_worker.ipynb has it with empty fields."""

from __future__ import annotations

import re
from pathlib import Path

COLAB_URL = "https://colab.research.google.com/#create=true"
"""This URL opens a new notebook. A URL that opens the example would need a public repository."""
CELL = Path(__file__).with_name("notebook_cell.txt")


def notebook_cell(**fields: str) -> str:
    """The cell as Python, with fields of its form filled in: service_url, token, script_sha256, device.

    >>> cell = notebook_cell(service_url="https://example.org")
    >>> [line.partition("  #")[0] for line in cell.splitlines() if line.startswith("service_url")]
    ['service_url = "https://example.org"']
    """
    text = CELL.read_text()
    for name, value in fields.items():
        assert re.fullmatch(r"[\w.:/?=&%~+-]*", value, re.ASCII), f"{name} cannot be quoted"
        text, count = re.subn(rf'^{name} = "[^"]*"', f'{name} = "{value}"', text, flags=re.MULTILINE)
        assert count == 1, f"the cell has no field {name}"
    return text
