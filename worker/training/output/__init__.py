"""What a training run leaves besides checkpoints: history, model files, evaluation, report."""
