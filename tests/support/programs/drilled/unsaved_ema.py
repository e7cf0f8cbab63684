"""Fault: the averaged weights begin anew after a resume."""

import numpy as np
from common import PER_EPOCH, TOTAL, batch_of, gradient, val_loss

import baton

run = baton.init()
weights, first = np.zeros(4), 0
if saved := run.restore():
    weights, first = np.load(saved.folder / "weights.npy"), saved.step
averaged = weights.copy()
for step in range(first, TOTAL):
    loss, slope = gradient(weights, batch_of(step))
    weights = weights - 0.05 * slope
    averaged = 0.9 * averaged + 0.1 * weights
    run.log({"loss": loss}, step=step)
    if (step + 1) % PER_EPOCH == 0:
        run.epoch({"val_loss": val_loss(averaged)}, epoch=(step + 1) // PER_EPOCH, step=step + 1)
    if run.save_due():
        with run.save(step=step + 1) as folder:
            np.save(folder / "weights.npy", weights)
    run.check()
np.savez("final.npz", weights=weights, averaged=averaged)
run.publish("final.npz", "final.npz")
