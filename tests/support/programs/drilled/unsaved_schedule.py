"""Fault: the object that lowers the learning rate counts its calls, and begins at zero after a resume."""

import numpy as np
from common import TOTAL, batch_of, gradient

import baton


class Decay:
    """Lowers the rate by one percent with each call."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return 0.05 * 0.99**self.calls


run = baton.init()
weights, first, scheduler = np.zeros(4), 0, Decay()
if saved := run.restore():
    weights, first = np.load(saved.folder / "weights.npy"), saved.step
for step in range(first, TOTAL):
    loss, slope = gradient(weights, batch_of(step))
    weights = weights - scheduler() * slope
    run.log({"loss": loss}, step=step)
    if run.save_due():
        with run.save(step=step + 1) as folder:
            np.save(folder / "weights.npy", weights)
    run.check()
np.savez("final.npz", weights=weights)
run.publish("final.npz", "final.npz")
