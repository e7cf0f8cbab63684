"""A replacement of `worker.training.output.report`: `python -m tests.support.fake_report PARENT GIVEN MADE`.

The environment variable PRINTER says what it does: `works`, `fails` or `hangs`.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

if __name__ == "__main__":
    what, made = os.environ["PRINTER"], Path(sys.argv[3])
    if what == "fails":
        sys.exit("no ink")
    if what == "hangs":
        threading.Event().wait(3600)
    for name in ("report.html", "report.md", "report-loss.png"):
        (made / name).write_text(f"{name} of {sys.argv[1]}")
