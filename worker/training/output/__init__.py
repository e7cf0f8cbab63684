"""The output of a training run in addition to checkpoints: history, model files, evaluation, report."""
