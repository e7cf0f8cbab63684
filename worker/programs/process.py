"""Prepares this process to run a program. It needs no framework."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess

from baton.domain.errors import JobFailure
from worker.attempt.process import Loaded
from worker.programs.environment import without_secrets
from worker.programs.scratch import Scratch
from worker.programs.trainer import ProgramTrainer
from worker.settings import WorkerSettings

GPU_SECONDS = 10.0


def programs(settings: WorkerSettings) -> Loaded:
    """The trainer that runs programs. It has a problem if the cache of the worker cannot be used."""
    passed = [name for name in settings.program_environment.split(",") if name]
    device = gpu_names(settings.gpus) or "cpu"
    environment = {"python": platform.python_version(), "machine": platform.machine(), "gpu": device}
    trainer = ProgramTrainer(without_secrets(os.environ, passed))
    try:
        scratch = Scratch(settings.cache)
    except JobFailure as error:
        return Loaded(trainer, environment, device, problem=str(error), scratch=settings.cache)
    return Loaded(trainer, environment, device, scratch=scratch.folder, close=scratch.close)


def gpu_names(most: int) -> str:
    """The names of the first `most` GPUs that nvidia-smi lists; empty without a GPU or without nvidia-smi."""
    if not most or shutil.which("nvidia-smi") is None:
        return ""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GPU_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return ", ".join(done.stdout.split("\n")[:most]).strip(", ")
