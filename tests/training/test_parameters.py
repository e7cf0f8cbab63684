"""The formula that counts parameters is compared with the networks that Keras builds."""

import numpy as np
import pytest

import models
from baton.domain.catalog import NETWORKS
from baton.domain.parameters import Parameters, count_parameters


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("width", "classes", "dropout"), [(0.01, 2, 0.0), (0.05, 10, 0.3), (0.1, 7, 0.0), (0.3, 200, 0.0)]
)
def test_the_formula_counts_what_keras_builds(name: str, width: float, classes: int, dropout: float) -> None:
    model = models.build(name, width=width, classes=classes, seed=1, dropout=dropout)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert count_parameters(name, width, classes) == Parameters(model.count_params(), trainable)
