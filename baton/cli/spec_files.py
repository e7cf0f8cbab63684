"""Reads specs from a YAML or JSON file or from standard input, and `--set` options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from baton.cli.app import USAGE, fail
from baton.domain.yaml_text import BadYaml, read_yaml

SUFFIXES = {".yaml", ".yml", ".json"}


def read_spec(source: str) -> dict[str, Any] | None:
    """The spec in a file or on standard input (`-`). None if `source` is the name of a plan."""
    path = Path(source)
    if source == "-":
        return _parse(sys.stdin.read(), "standard input")
    if not path.is_file() and path.suffix.lower() not in SUFFIXES:
        return None
    try:
        return _parse(path.read_text(encoding="utf-8"), source)
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot read {source}: {error}", USAGE)


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        data = read_yaml(text, aliases=True)
    except BadYaml as error:
        fail(f"{source} is not valid YAML: {error}", USAGE)
    if not isinstance(data, dict):
        fail(
            f"{source} is not a job spec: it must be a mapping of fields such as name and network, or name and program",
            USAGE,
        )
    return data


def parse_sets(items: Sequence[str]) -> dict[str, object]:
    """Parses `path=value` pairs. The values are read as YAML.

    >>> parse_sets(["stages.0.epochs=2", "labels={team: a}"])
    {'stages.0.epochs': 2, 'labels': {'team': 'a'}}
    """
    pairs: dict[str, object] = {}
    for item in items:
        path, equals, value = item.partition("=")
        if not equals or not path:
            fail(f"--set needs PATH=VALUE, not '{item}', e.g. --set stages.0.epochs=2", USAGE)
        try:
            pairs[path] = read_yaml(value)
        except BadYaml:
            fail(f"--set {path}: '{value}' is not a YAML value; quote it", USAGE)
    return pairs
