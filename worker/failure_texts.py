"""Texts of failures that several parts of the worker write or recognise."""

CRASHED = "the training process died with"
"""Begins the message of an attempt whose training process crashed."""
LESS_MEMORY = "take a smaller batch_size or network.width, or a worker with more memory"
