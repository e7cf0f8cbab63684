"""`python -m tests.support.forking_worker`: a worker that imports TensorFlow once. Its training processes are forks of
it.
"""

from __future__ import annotations

import runpy

from tests.support.preloaded import fork_training_processes, import_everything

if __name__ == "__main__":
    import_everything(tensorflow=True)
    fork_training_processes()
    runpy.run_module("worker", run_name="__main__", alter_sys=True)
