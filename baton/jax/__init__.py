"""JAX: `baton.jax.track` saves and restores pytrees, such as those of Flax and Optax, and has the loops of a training.

It needs JAX and NumPy.
"""

from baton.adapters.training import Step
from baton.jax.tracked import JaxTraining, track

__all__ = ["JaxTraining", "Step", "track"]
