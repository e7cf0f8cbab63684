"""docs/reference/program.md from the docstrings of what a training program imports."""

from __future__ import annotations

import inspect

import baton
from baton.program.protocol import EXIT_STOPPED
from scripts.reference.markdown import code, page, prose, table
from scripts.reference.sdk import class_text, signature

INTRODUCTION = """
What a training program calls: `import baton`, then `baton.init()`. It needs the standard library only, so each
interpreter of Python 3.11 or later can use it. The [tutorial](../tutorials/your-script.md) makes a script resumable
step by step; `examples/programs/` has scripts in NumPy, Keras, JAX, scikit-learn and PyTorch.
"""
SAVES = f"""
## When it saves and stops

- `save_due` is true by the cadence, and when the run must stop. Without a worker the cadence is `BATON_SAVE_EVERY`.
  Below a worker it is `checkpoint.every` of the spec.
- A save is complete, or not there at all. Below a worker the training continues during the upload.
- When the run must stop, `check` raises `Stopped` after the next save. If nothing catches it, the process ends with
  status {EXIT_STOPPED}. Do not catch it, or raise it again after cleaning up.
- A program that continues from a save must do the same steps as one that was never interrupted. Therefore a save needs
  everything that a step reads and changes: weights, the state of the optimizer, positions, and each random generator.
- Points and rows that were recorded after the save from which the run continues are deleted: nothing is doubled.
- Below a worker, the process ends with status {EXIT_STOPPED} as soon as the worker ends.
- A process that is forked, such as one that loads data, cannot use the run. It does not end the run either.

## The folder of a run without a worker

`saves/`, with one folder for each save; `history.csv`, the rows of `epoch`; `series.csv`, the points of `log`;
`published/`; `notes.txt`. Only one process at a time uses it. SIGINT (Ctrl-C) and SIGTERM are requests to stop; a
second Ctrl-C ends the program at once, without a save. Delete the folder to start from the beginning.

[`baton drill`](../how-to/prove-resume.md) runs the program in such folders, with and without interruptions, and
compares them to the bit.
"""
VARIABLES = (
    ("BATON_SAVE_EVERY", "60s", "time between saves without a worker, such as `30s`, `5m`; `0`: a save at each step"),
    ("BATON_SAVE_KEEP", "3", "number of saves that stay without a worker"),
    ("BATON_PARAMS", "{}", "params without a worker: a JSON object, or the path of a file with one"),
    ("BATON_RUN_DIR", "", "folder of a run without a worker; it replaces the one that was given to `init`"),
    ("BATON_DATA", "{}", "paths of data without a worker: a JSON object NAME -> PATH, or the path of a file with one"),
    ("BATON_DRILL", "", "set by `baton drill`: the plan of the attempt; see [the how-to](../how-to/prove-resume.md)"),
    ("BATON_PROGRAM_SOCKET", "", "set by a worker: the socket that `baton.init()` connects to"),
    ("BATON_PROGRAM_SECRET", "", "set by a worker: what the program shows there"),
)
"""Name, default and meaning of each variable that the library reads."""


def program_page() -> str:
    """The page."""
    start = f"## baton.init\n\n```text\ninit{signature(baton.init)}\n```\n\n{prose(baton.init.__doc__)}"
    stopping = f"### Run.stopping\n\n{prose(inspect.getdoc(baton.Run.stopping))}"
    others = [f"## {one.__name__}\n\n{prose(one.__doc__)}" for one in (baton.Saved, baton.Stopped, baton.ProgramError)]
    return page(
        "Training programs",
        INTRODUCTION,
        start,
        class_text(baton.Run, without=("after_fork",)),
        stopping,
        *others,
        SAVES,
        f"## Environment variables\n\n{variables()}",
    )


def variables() -> str:
    """The table of the variables."""
    return table(("variable", "default", "meaning"), [(code(name), code(one), text) for name, one, text in VARIABLES])
