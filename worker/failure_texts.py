"""Texts of failures that several parts of the worker use."""

CRASHED = "the training process died with"
"""The first words of the failure message after a crash of the training process.

Do not change them: `autotuning.resume` compares them with the messages of earlier attempts, also from other releases.
"""
LESS_MEMORY = "take a smaller batch_size or network.width, or a worker with more memory"
KERNEL_KILLED = "the kernel killed a process of the program because memory ran out: use less, or a worker with more"
