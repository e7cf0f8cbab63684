"""Fault: the order of the columns is that of a set."""

import numpy as np
from common import TEST_X, TOTAL, batch_of, gradient

import baton

COLUMNS = {f"column-{number}": number % 4 for number in range(40)}

run = baton.init()
begin = np.random.default_rng(1).normal(size=40)
weights, first = np.zeros(4), 0
for value, name in zip(begin, set(COLUMNS), strict=True):
    weights[COLUMNS[name]] += value / 10
if saved := run.restore():
    weights, first = np.load(saved.folder / "weights.npy"), saved.step
for step in range(first, TOTAL):
    loss, slope = gradient(weights, batch_of(step))
    weights = weights - 0.05 * slope
    run.log({"loss": loss}, step=step)
    if run.save_due():
        with run.save(step=step + 1) as folder:
            np.save(folder / "weights.npy", weights)
    run.check()
np.savez("final.npz", predictions=TEST_X @ weights)
run.publish("final.npz", "final.npz")
