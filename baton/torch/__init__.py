"""PyTorch: `baton.torch.track` saves and restores models, optimizers and the rest, and has the loops of a training.

It needs PyTorch 1.13 or later, and NumPy.
"""

from baton.adapters.training import Step
from baton.torch.tracked import TorchTraining, track

__all__ = ["Step", "TorchTraining", "track"]
