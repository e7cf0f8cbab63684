"""Which points of series a program may record."""

from __future__ import annotations

import re
from typing import Any

from baton.domain.metric_names import METRIC_NAME, is_system
from baton.program.protocol import is_point

MAX_STEP, MAX_TIME = 2**53, 1e10
_METRIC = re.compile(METRIC_NAME)


def is_allowed(point: Any) -> bool:
    """Whether this is a point, with a name that a program may use.

    >>> is_allowed(["loss", 3, 0.5, 1.7e9]), is_allowed(["system/cpu", 3, 0.5, 1.7e9])
    (True, False)
    """
    return (
        is_point(point)
        and _METRIC.fullmatch(point[0]) is not None
        and not is_system(point[0])
        and 0 <= point[1] <= MAX_STEP
        and 0 <= point[3] <= MAX_TIME
    )
