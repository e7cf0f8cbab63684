"""Reads the notification targets from the settings. Their URLs are secrets, so no error message contains one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from baton.domain.notifications import TARGET
from service.settings import Settings, SettingsError

UNNAMED = "default"
FORM = "give Apprise URLs, or NAME=URL, one a line or separated by commas"
_ENTRY = re.compile(rf"(?:({TARGET})=)?([A-Za-z][A-Za-z0-9]*://.*)")
# A comma separates two entries only if another URL begins after it.
_BETWEEN = re.compile(rf"[\r\n]+|,\s*(?=(?:{TARGET}=)?[A-Za-z][A-Za-z0-9]*://)")

Urls = dict[str, SecretStr]


def load_urls(settings: Settings) -> Urls:
    """The URL of each target by name, from BATON_NOTIFY_URLS and BATON_NOTIFY_FILE. Raises SettingsError."""
    found: Urls = {}
    for variable, text in _sources(settings):
        for number, entry in enumerate(_entries(text), 1):
            name, url = _parsed(variable, number, entry, found)
            found[name] = SecretStr(url)
    return found


def _sources(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "BATON_NOTIFY_URLS", settings.notify_urls.get_secret_value()
    if settings.notify_file is not None:
        yield "BATON_NOTIFY_FILE", _read(settings.notify_file)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SettingsError(f"BATON_NOTIFY_FILE: {path} is not UTF-8 text") from None
    except OSError as error:
        raise SettingsError(f"BATON_NOTIFY_FILE: {path} cannot be read: {error.strerror}") from None


def _entries(text: str) -> list[str]:
    """The entries, without empty lines and comments (#)."""
    lines = [one.strip().rstrip(",").rstrip() for one in _BETWEEN.split(text)]
    return [line for line in lines if line and not line.startswith("#")]


def _parsed(variable: str, number: int, entry: str, before: Urls) -> tuple[str, str]:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise SettingsError(f"{variable}: entry {number} is invalid; {FORM}")
    # Entries without a name are called `default`, `default-2` and so on.
    unnamed = sum(name.partition("-")[0] == UNNAMED for name in before) + 1
    name = match[1] or (UNNAMED if unnamed == 1 else f"{UNNAMED}-{unnamed}")
    if name in before:
        raise SettingsError(f"{variable}: two targets are called {name!r}: rename one of them")
    return name, match[2]


def chosen(settings: Settings, urls: Urls) -> tuple[str, ...]:
    """The targets of jobs whose spec names none: BATON_NOTIFY_TARGETS; by default all. Raises SettingsError."""
    if settings.notify_targets is None:
        return tuple(urls)
    odd = next((name for name in settings.notify_targets if name not in urls), None)
    if odd is not None:
        known = ", ".join(urls) or "none: set BATON_NOTIFY_URLS"
        raise SettingsError(f"BATON_NOTIFY_TARGETS: unknown target {odd!r}; known: {known}")
    return settings.notify_targets
