"""The temporary files of a directory store."""

from pathlib import Path


def temps(root: Path) -> list[Path]:
    return list((root / ".baton-tmp").iterdir())


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
