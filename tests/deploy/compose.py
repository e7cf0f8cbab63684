"""docker-compose.yml as Compose reads it: merged, and with its variables replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.support.service import ROOT

FILE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:\?(?P<error>[^}]*))?\}")
GIVEN = {
    "BATON_TOKEN": "token-of-the-compose-file",
    "BATON_WORK_TOKEN": "work-token-of-the-compose-file",
    "BATON_READ_TOKEN": "read-token-of-the-compose-file",
    "POSTGRES_PASSWORD": "pgsecret123",
    "REDIS_PASSWORD": "redissecret123",
}


@dataclass(frozen=True)
class Compose:
    """The file with the variables that `given` sets."""

    data: dict[str, Any]
    given: Mapping[str, str]

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        return dict(self.data["services"])

    def environment(self, service: str) -> dict[str, str]:
        """The environment of the container. A variable without a value is in it only if it is given."""
        named = self.services[service].get("environment", {})
        return {
            name: str(self.given.get(name, "") if value is None else value)
            for name, value in named.items()
            if value is not None or name in self.given
        }


def read_compose(given: Mapping[str, str]) -> Compose:
    """Raises KeyError with the message in the file if a required variable is not set."""
    return Compose(_filled(yaml.safe_load(FILE.read_text()), given), given)


def _filled(value: Any, given: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: _value(found, given), value)
    if isinstance(value, dict):
        return {name: _filled(one, given) for name, one in value.items()}
    return [_filled(one, given) for one in value] if isinstance(value, list) else value


def _value(found: re.Match[str], given: Mapping[str, str]) -> str:
    if found[0] == "$$":
        return "$"
    value = given.get(found["name"], "")
    if not value and found["error"] is not None:
        raise KeyError(found["error"])
    return value or found["default"] or ""
