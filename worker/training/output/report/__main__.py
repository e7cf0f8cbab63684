"""Makes a report: `python -m worker.training.output.report PARENT INPUTS OUTPUT`. INPUTS and OUTPUT are folders.

PARENT is the process id of the calling process. This process ends with it.
"""

from __future__ import annotations

import os
import sys

from baton.system.parent_death import die_with_parent

if __name__ == "__main__":
    # This comes before the slow imports, so that the process also ends with its parent during them.
    die_with_parent(int(sys.argv[1]))
    os.nice(19)

from pathlib import Path


def _main(inputs: Path, output: Path) -> None:
    from worker.training.output.report.inputs import ReportInputs
    from worker.training.output.report.pages import make_report

    make_report(ReportInputs.read(inputs), output)


if __name__ == "__main__":
    _main(Path(sys.argv[2]), Path(sys.argv[3]))
