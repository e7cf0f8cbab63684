"""Runs the functions `case_…` of modules in one process, because the import of a framework takes seconds.

`python -m tests.support.framework_cases FOLDER PACKAGE MODULE…` prints a JSON object: name of the case -> "", or its
traceback. The examples in the docstrings of PACKAGE, such as `baton.torch`, are cases too.
"""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil
import sys
import traceback
import warnings
from pathlib import Path


def main(folder: str, package: str, *names: str) -> None:
    """Run all cases, each with a folder of its own."""
    warnings.simplefilter("ignore")
    results = {}
    for module in map(importlib.import_module, names):
        for case in [one for one in vars(module) if one.startswith("case_")]:
            own = Path(folder) / case
            own.mkdir()
            try:
                getattr(module, case)(own)
                results[case] = ""
            except Exception:
                results[case] = traceback.format_exc()
    for one in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        failed = doctest.testmod(importlib.import_module(one.name)).failed
        results[one.name] = f"{failed} examples fail" if failed else ""
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
