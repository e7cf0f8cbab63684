"""Loads TensorFlow and the training loop, for the training process `python -m worker.training`."""

from __future__ import annotations

from worker.attempt.process import Loaded
from worker.autotuning.transfer import Compiler
from worker.settings import WorkerSettings


def tensorflow(settings: WorkerSettings) -> Loaded:
    """Imports TensorFlow. The import takes seconds, so it is done before an attempt arrives."""
    from worker.training.environment import NO_GPU, compiles, configure, describe, take_gpus

    configure(settings.threads, nondeterministic=settings.nondeterministic_ops == "allow")
    take_gpus(settings.gpus)
    from worker.training.data.decode import limit_pixels
    from worker.training.devices import gpu_problem
    from worker.training.gpu_versions import kernel_machine
    from worker.training.loop import train

    limit_pixels(settings.max_pixels)
    environment = describe(settings.threads, settings.xla)
    gpu = environment["gpu"]
    problem = gpu_problem(settings.gpus)
    if gpu == NO_GPU:
        return Loaded(train, environment, problem=problem)
    compiler = Compiler.open(kernel_machine(), settings.cache, compiled=compiles(settings.xla))
    return Loaded(train, environment, gpu, compiler, problem)
