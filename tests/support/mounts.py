"""Whether this machine lets tests mount file systems."""

import shutil
import subprocess


def can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode == 0
