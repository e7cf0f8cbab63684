"""The environment variables that exist. Deployment files may name no others."""

from __future__ import annotations

from service.settings import Settings
from worker.settings import WorkerSettings

OTHERS = {"STORAGE_EMULATOR_HOST", "POD_NAME"}
"""A variable of Google's library, and one that Kubernetes sets."""

NOT_OF_A_FLEET = {"BATON_STORE", "BATON_REDIS_URL", "STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"}
"""Variables that no worker of a fleet gets, because the service gives it work and the store."""

SERVICE = {f"BATON_{name.upper()}" for name in Settings.model_fields} | OTHERS
WORKER = {f"BATON_{name.upper()}" for name in WorkerSettings.model_fields} | OTHERS
