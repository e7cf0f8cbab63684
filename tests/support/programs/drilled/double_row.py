"""Fault: the program records the loss of validation whenever it starts, also after a resume."""

import numpy as np
from common import TOTAL, batch_of, gradient, val_loss

import baton

run = baton.init()
weights, first = np.zeros(4), 0
if saved := run.restore():
    weights, first = np.load(saved.folder / "weights.npy"), saved.step
run.log({"val_loss": val_loss(weights)}, step=first)
for step in range(first, TOTAL):
    loss, slope = gradient(weights, batch_of(step))
    weights = weights - 0.05 * slope
    run.log({"loss": loss}, step=step)
    if run.save_due():
        with run.save(step=step + 1) as folder:
            np.save(folder / "weights.npy", weights)
    run.check()
np.savez("final.npz", weights=weights)
run.publish("final.npz", "final.npz")
