"""`baton.data.batches`: batches in an order that is a function of a seed. A loop continues in the middle of an epoch.

It needs NumPy. It reads arrays, map-style data sets, Grain's, Keras's, and iterators.
"""

from baton.data.batches import Batches
from baton.data.start import batches

__all__ = ["Batches", "batches"]
