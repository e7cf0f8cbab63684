"""Writes the generated pages. With --check it writes nothing: exit status 1 if a page does not match the code."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.reference.pages import generated

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str]) -> int:
    """Writes or checks the pages. Returns the exit status."""
    stale = [name for name, text in generated(ROOT).items() if _old(ROOT / name) != text]
    if "--check" in arguments:
        for name in stale:
            print(f"{name} does not match the code: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for name, text in generated(ROOT).items():
        (ROOT / name).write_text(text, encoding="utf-8")
    print(f"docs/reference: {len(stale)} pages changed")
    return 0


def _old(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
