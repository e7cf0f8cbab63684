"""The names of metrics. Without dependencies, because training programs import it too."""

from __future__ import annotations

METRIC_NAME = r"^[A-Za-z_][A-Za-z0-9_./-]{0,99}$"
"""The form of a name, such as `val_loss` or `eval/dice`."""

SYSTEM = "system/"
"""The beginning of the names of system metrics, which a worker measures. Programs cannot use it.

As series they have the time of the sample in Unix seconds as their step, and a rollback keeps them.
"""


def is_system(name: str) -> bool:
    """Whether this is the name of a system metric.

    >>> is_system("system/cpu"), is_system("systems")
    (True, False)
    """
    return name.startswith(SYSTEM)
