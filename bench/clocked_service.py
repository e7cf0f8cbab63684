"""`python -m bench.clocked_service FILE`: the service, with a database clock that another process moves.

FILE: see tests.support.moved_clock.follow.
"""

from __future__ import annotations

import sys
from pathlib import Path

from service.__main__ import main
from tests.support.moved_clock import follow

if __name__ == "__main__":
    follow(Path(sys.argv[1]))
    sys.exit(main())
