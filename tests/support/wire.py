"""Messages between worker and service of earlier releases, recorded by scripts/record_wire.py."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.support.service import ROOT

RELEASES = ("e9172d9",)
FOLDER = ROOT / "tests" / "fixtures" / "wire"


@dataclass(frozen=True)
class Recorded:
    """A recorded message of a release. `schema`: what that release accepts."""

    release: str
    name: str
    receiver: str
    samples: dict[str, dict[str, Any]]
    schema: dict[str, Any]


def recorded(receiver: str) -> list[Recorded]:
    """All messages to `service` or to `worker`."""
    found = [
        Recorded(release, file.stem, content["to"], content["samples"], content["schema"])
        for release in RELEASES
        for file in sorted((FOLDER / release).glob("*.json"))
        for content in [json.loads(file.read_text(encoding="utf-8"))]
    ]
    return [one for one in found if one.receiver == receiver]


def samples(receiver: str) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Release, message, name of the sample, and body of each sample."""
    return [(one.release, one.name, name, body) for one in recorded(receiver) for name, body in one.samples.items()]
