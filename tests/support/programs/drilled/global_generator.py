"""Fault: the noise comes from NumPy's global generator, whose state is not saved."""

import numpy as np
from common import TOTAL, batch_of, gradient

import baton

run = baton.init()
np.random.seed(3)
weights, first = np.zeros(4), 0
if saved := run.restore():
    weights, first = np.load(saved.folder / "weights.npy"), saved.step
for step in range(first, TOTAL):
    points = batch_of(step)
    loss, slope = gradient(weights, points, np.random.normal(0, 0.1, (len(points), 4)))
    weights = weights - 0.05 * slope
    run.log({"loss": loss}, step=step)
    if run.save_due():
        with run.save(step=step + 1) as folder:
            np.save(folder / "weights.npy", weights)
    run.check()
np.savez("final.npz", weights=weights)
run.publish("final.npz", "final.npz")
