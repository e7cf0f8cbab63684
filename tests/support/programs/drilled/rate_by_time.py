"""Fault: the learning rate falls with the time since the start of the process."""

import time

import numpy as np
from common import TOTAL, batch_of, gradient

import baton

run = baton.init()
weights, first, start = np.zeros(4), 0, time.monotonic()
if saved := run.restore():
    weights, first = np.load(saved.folder / "weights.npy"), saved.step
for step in range(first, TOTAL):
    loss, slope = gradient(weights, batch_of(step))
    learning_rate = 0.05 * 0.5 ** (time.monotonic() - start)
    weights = weights - learning_rate * slope
    run.log({"loss": loss}, step=step)
    if run.save_due():
        with run.save(step=step + 1) as folder:
            np.save(folder / "weights.npy", weights)
    run.check()
np.savez("final.npz", weights=weights)
run.publish("final.npz", "final.npz")
