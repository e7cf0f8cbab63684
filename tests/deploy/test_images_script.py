"""`make images` with buildah: if its runtime may not create containers, it prints this and builds in a chroot."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Stands in for buildah, which needs root and a base image. BROKEN: its runtime creates no container outside a chroot.
BUILDAH = """#!/bin/sh
case "$1" in
  from) echo made ;;
  run) [ -z "$BROKEN" ] || [ "$BUILDAH_ISOLATION" = chroot ] || { echo "cgroups are not supported" >&2; exit 1; } ;;
  build) echo "built with ${BUILDAH_ISOLATION:-the runtime}" ;;
esac
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("broken", "chosen", "built"),
    [("", "", "the runtime"), ("yes", "", "chroot"), ("", "chroot", "chroot"), ("yes", "oci", "oci")],
)
def test_buildah_falls_back_to_a_chroot_and_says_so(tmp_path: Path, broken: str, chosen: str, built: str) -> None:
    program = tmp_path / "buildah"
    program.write_text(BUILDAH)
    program.chmod(0o755)
    setting = {"BUILDAH_ISOLATION": chosen} if chosen else {}
    inherited = {name: value for name, value in os.environ.items() if name != "BUILDAH_ISOLATION"}
    environment = {**inherited, "PATH": f"{tmp_path}:{os.environ['PATH']}", "ENGINE": "buildah", "BROKEN": broken}
    command = ["bash", ROOT / "scripts" / "images.sh", "service"]
    done = subprocess.run(command, env={**environment, **setting}, capture_output=True, text=True, check=True)
    assert done.stdout == f"built with {built}\n"
    fell_back = broken and not chosen
    assert ("BUILDAH_ISOLATION=chroot" in done.stderr) is bool(fell_back)
    assert ("cgroups are not supported" in done.stderr) is bool(fell_back)
