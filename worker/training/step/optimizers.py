"""The optimizers that a spec may name."""

from __future__ import annotations

import keras

from baton.domain.spec import OptimizerSpec


def make_optimizer(spec: OptimizerSpec) -> keras.optimizers.Optimizer:
    """The optimizer of a spec. Each step sets its learning rate. The names of its variables contain its own name."""
    match spec.name:
        case "adam":
            return keras.optimizers.Adam(spec.learning_rate, epsilon=spec.epsilon, name="adam")
        case "rmsprop":
            momentum, epsilon = spec.momentum, spec.epsilon
            return keras.optimizers.RMSprop(spec.learning_rate, momentum=momentum, epsilon=epsilon, name="rmsprop")
        case _:
            return keras.optimizers.SGD(spec.learning_rate, momentum=spec.momentum, name="sgd")
