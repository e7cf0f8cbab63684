"""Reads the Dockerfile without a container engine: the instructions of each stage, after those of the stage it is
built from.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from tests.support.service import ROOT

FILE = ROOT / "Dockerfile"


@dataclass(frozen=True)
class Stage:
    """A stage: its base, and its instructions in order, e.g. ("USER", "10001:10001")."""

    name: str
    base: str
    instructions: list[tuple[str, str]]


def stages() -> dict[str, Stage]:
    """All stages, by name."""
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", FILE.read_text(), flags=re.M))
    found: dict[str, Stage] = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = Stage(name, base, [])
        elif found:
            list(found.values())[-1].instructions.append((word, rest.strip()))
    return found


def instructions(target: str) -> list[tuple[str, str]]:
    """The instructions of a target, after those of all stages that it is built from."""
    stage = stages()[target]
    return [*(instructions(stage.base) if stage.base in stages() else []), *stage.instructions]


def last(target: str, word: str) -> str:
    """The last instruction of a kind, which is the one that counts."""
    return [rest for name, rest in instructions(target) if name == word][-1]


def environment(target: str) -> dict[str, str]:
    """The variables that ENV sets."""
    pairs = [pair for name, rest in instructions(target) if name == "ENV" for pair in rest.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def health_command(target: str) -> list[str]:
    """The command of HEALTHCHECK."""
    command: list[str] = json.loads(last(target, "HEALTHCHECK").partition("CMD")[2])
    return command


def command(target: str) -> list[str]:
    """The command that is run: ENTRYPOINT and CMD."""
    parts = [rest for word in ("ENTRYPOINT", "CMD") for name, rest in instructions(target) if name == word][-2:]
    return [word for part in parts for word in json.loads(part)]
