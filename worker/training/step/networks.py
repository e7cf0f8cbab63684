"""Builds the network of a spec: one of Baton's, or one of an installed extension."""

from __future__ import annotations

from typing import Any

import keras

import models
from baton.domain.catalog import NETWORKS
from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.domain.spec import JobSpec
from worker.extensions import load

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def build_network(spec: JobSpec, classes: int) -> keras.Model:
    """A network from images [n, h, w, 3], float32 in 0..1, to probabilities [n, classes].

    The spec's seed decides the initial weights.

    Layer `logits` is the input of the softmax.

    Raises:
        JobFailure: unsupported, an extension's network cannot be imported or is not a network.
    """
    keras.config.set_dtype_policy(_POLICIES[spec.precision])
    network = spec.network
    arguments: dict[str, Any] = {"width": network.width, "seed": spec.seed, "dropout": network.dropout}
    if network.name in NETWORKS:
        return models.build(network.name, classes=classes, **arguments)
    return _with_softmax(load("network", network.name)(classes=classes, **arguments, **network.options), spec, classes)


def _with_softmax(built: object, spec: JobSpec, classes: int) -> keras.Model:
    name = spec.network.name
    if not isinstance(built, keras.Model):
        raise JobFailure(Reason.UNSUPPORTED, f"network {name} returned {type(built).__name__}, not a keras.Model")
    images = keras.Input((None, None, 3), dtype="float32", name="images") if not built.built else built.inputs[0]
    x = built(images)
    if tuple(x.shape)[1:] != (classes,):
        text = f"network {name} gives {tuple(x.shape)}, it must give logits of shape (None, {classes})"
        raise JobFailure(Reason.UNSUPPORTED, text)
    x = keras.layers.Activation("linear", dtype="float32", name="logits")(x)
    x = keras.layers.Activation("softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(images, x, name=name.replace(".", "-"))


def network_outputs(spec: JobSpec, classes: int) -> int:
    """How many outputs the network has for data with `classes` classes.

    Raises:
        JobFailure: bad_data, the spec demands fewer outputs than classes.
    """
    wanted = spec.network.classes or classes
    if wanted < classes:
        text = f"network.classes: the data has {classes} classes, the network only {wanted}"
        raise JobFailure(Reason.BAD_DATA, text)
    return wanted
