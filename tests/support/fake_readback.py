"""A replacement of `worker.training.output.readback`: `python -m tests.support.fake_readback PARENT FILE NETWORK`.

The environment variable READER says what it does: `loads`, `refuses`, `needs`, `fails` or `hangs`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

if __name__ == "__main__":
    what = os.environ["READER"]
    if what == "fails":
        sys.exit("no Keras here")
    if what == "hangs":
        threading.Event().wait(60)
    print("a line of a library")
    load_error = "" if what == "loads" else f"{Path(sys.argv[2]).read_text()} of {sys.argv[3]}: a Python lambda"
    print(json.dumps({"error": load_error, "with_package": what == "needs"}))
