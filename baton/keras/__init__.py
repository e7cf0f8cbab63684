"""`baton.keras.fit` is `model.fit` that continues at the exact step.

It needs Keras with the backend TensorFlow or JAX. `import baton` does not load it.
"""

from baton.keras.start import fit

__all__ = ["fit"]
