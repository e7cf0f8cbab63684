"""A small regression: 65 points in batches of 16, so that the last batch of an epoch has one point."""

from __future__ import annotations

import numpy as np

POINTS, BATCH, EPOCHS = 65, 16, 8
PER_EPOCH = 5
TOTAL = EPOCHS * PER_EPOCH
_generator = np.random.default_rng(0)
X = _generator.normal(size=(POINTS, 4))
Y = X @ np.array([1.0, -2.0, 0.5, 3.0]) + _generator.normal(0, 0.5, POINTS)
TEST_X = _generator.normal(size=(40, 4))
TEST_Y = TEST_X @ np.array([1.0, -2.0, 0.5, 3.0]) + _generator.normal(0, 0.5, 40)


def order_of(epoch):
    """The order of the points in this epoch."""
    return np.random.default_rng([7, epoch]).permutation(POINTS)


def batch_of(step):
    """The points of this step, a function of the step alone."""
    epoch, number = divmod(step, PER_EPOCH)
    return order_of(epoch)[number * BATCH : (number + 1) * BATCH]


def gradient(weights, points, noise=0.0):
    """Loss and gradient of these points."""
    error = (X[points] + noise) @ weights - Y[points]
    return float(np.mean(error**2)), 2 * X[points].T @ error / len(points)


def val_loss(weights):
    """The loss of the test points."""
    return float(np.mean((TEST_X @ weights - TEST_Y) ** 2))
