"""The report of a job: gathered beside the training, made in a process of its own that knows no TensorFlow."""
