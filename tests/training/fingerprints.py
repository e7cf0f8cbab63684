"""The fingerprint of a network's initial weights, to compare processes."""

import hashlib

import models


def fingerprint(name: str) -> str:
    model = models.build(name, width=0.1, classes=7, seed=3, dropout=0.2)
    return hashlib.sha256(b"".join(weight.numpy().tobytes() for weight in model.variables)).hexdigest()
