"""The modules whose docstrings have examples."""

from __future__ import annotations

import re

from tests.support.service import ROOT

MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "baton").rglob("*.py"))
    if re.search(r"^ +>>> ", path.read_text(), re.MULTILINE)
]
NEED_KERAS = {name for name in MODULES if name.startswith("baton.keras")}
"""The examples of these modules are run by tests/adapters/test_keras_fit.py: `make check` does not load TensorFlow."""
NEED_A_SERVICE = {
    "baton",
    *(
        f"baton.client.{name}"
        for name in ("changes", "client", "deletion", "errors", "job", "job_lists", "series", "submissions", "usage")
    ),
}
"""The examples of these modules are run by tests/integration/test_sdk_examples.py."""
NEED_A_FRAMEWORK = {name for name in MODULES if name.startswith(("baton.jax", "baton.torch"))}
"""The examples of these modules are run by tests/adapters/test_torch_and_jax.py."""
