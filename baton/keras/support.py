"""What of Keras this package works with. It uses parts of Keras that are not public, so other versions are refused."""

from __future__ import annotations

import re
from typing import Any

import keras

from baton.program.errors import ProgramError

OLDEST, NEWEST = (3, 10), (3, 15)
"""The oldest and the newest version of Keras that were tested."""
BACKENDS = ("tensorflow", "jax")


def check_keras() -> None:
    """Check the version and the backend of Keras.

    Raises:
        ProgramError: one of them was not tested.
    """
    found = tuple(int(part) for part in re.findall(r"\d+", keras.__version__)[:2])
    if not OLDEST <= found <= NEWEST:
        first, last = (".".join(map(str, version)) for version in (OLDEST, NEWEST))
        raise ProgramError(
            f"baton.keras.fit works with Keras {first} to {last}, and this is Keras {keras.__version__}: install one "
            "of these, or write the loop yourself, as in examples/programs/keras_loop.py"
        )
    if keras.backend.backend() not in BACKENDS:
        raise ProgramError(
            f"baton.keras.fit works with the backends {' and '.join(BACKENDS)}, and this is "
            f"{keras.backend.backend()}: set KERAS_BACKEND"
        )


def check_one_device(model: Any) -> None:
    """Check that the model is not spread over devices.

    Raises:
        ProgramError: it is.
    """
    strategy = getattr(model, "_distribute_strategy", None)
    if keras.distribution.distribution() is not None or (strategy is not None and strategy.num_replicas_in_sync > 1):
        raise ProgramError("baton.keras.fit trains on one device: do not set a distribution or a strategy")


def on_jax() -> bool:
    """Whether the backend is JAX."""
    return bool(keras.backend.backend() == "jax")
