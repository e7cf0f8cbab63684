"""Interpreters with frameworks that the development environment does not have."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.service import ROOT

IMPOSSIBLE = 3
"""The exit status of a script on a machine where the framework cannot be installed."""
SECONDS = 600


def interpreter(framework: str) -> str:
    """The path of a Python that can import a framework. The first call on a machine installs it.

    `jax`: with Flax, Optax and Keras. `torch`: an old version, that of Debian or Ubuntu. `torch-cpu`: a current one.
    Skips the test where that is impossible: `torch` needs Debian or Ubuntu, `torch-cpu` an index of PyTorch.
    """
    script = ROOT / "scripts" / f"{framework}.sh"
    command = ["/bin/sh", str(script), sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode == IMPOSSIBLE:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, f"{script.name} ended with {done.returncode}: {done.stderr}"
    return done.stdout.strip()
