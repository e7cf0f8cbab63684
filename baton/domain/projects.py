"""Projects: names, and the project in which a single user's things are."""

from __future__ import annotations

DEFAULT = "default"
"""The project of everything that names no other. It always exists."""

PROJECT_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
