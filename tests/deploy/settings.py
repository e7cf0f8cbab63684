"""The environment variables that exist: whatever is deployed may name no other."""

from __future__ import annotations

from service.settings import Settings
from worker.settings import WorkerSettings

OTHERS = {"STORAGE_EMULATOR_HOST", "POD_NAME"}
"""Of Google's library, and a name that Kubernetes fills in."""

SERVICE = {f"BATON_{name.upper()}" for name in Settings.model_fields} | OTHERS
WORKER = {f"BATON_{name.upper()}" for name in WorkerSettings.model_fields} | OTHERS
