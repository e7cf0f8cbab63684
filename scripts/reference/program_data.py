"""docs/reference/program-data.md from the docstrings of `baton.data`."""

from __future__ import annotations

import baton.data
from scripts.reference.markdown import page, prose
from scripts.reference.sdk import class_text, signature

INTRODUCTION = """
`import baton`, then `baton.data.batches(...)`: the data of a training program that continues in the middle of an epoch.
It needs NumPy; `processes` needs Grain (`pip install 'baton-train[data]'`). The
[how-to](../how-to/resumable-data.md) explains it by an example.
"""


def program_data_page() -> str:
    """The page."""
    call = baton.data.batches
    start = f"## baton.data.batches\n\n```text\nbatches{signature(call)}\n```\n\n{prose(call.__doc__)}"
    return page("Training data of programs", INTRODUCTION, start, class_text(baton.data.Batches))
