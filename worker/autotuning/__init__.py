"""XLA's autotuning results of an attempt: which kernels it chose on a GPU. They are stored with the checkpoints."""
