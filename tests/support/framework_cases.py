"""Runs the functions `case_…` of a module in one process, because the import of a framework takes seconds.

`python -m tests.support.framework_cases MODULE FOLDER` prints a JSON object: name of the case -> "", or its traceback.
`names` gives the names without an import.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
import traceback
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[2]

PREFIX = "case_"


def names(module: str) -> list[str]:
    """The names of the cases of a module that this interpreter may be unable to import."""
    tree = ast.parse((ROOT / module.replace(".", "/")).with_suffix(".py").read_text())
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith(PREFIX)]


def main(name: str, folder: str) -> None:
    """Run all cases, each with a folder of its own."""
    warnings.simplefilter("ignore")
    module, results = importlib.import_module(name), {}
    for case in names(name):
        own = Path(folder) / case
        own.mkdir()
        try:
            getattr(module, case)(own)
            results[case] = ""
        except Exception:
            results[case] = traceback.format_exc()
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
