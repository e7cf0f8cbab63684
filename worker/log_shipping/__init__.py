"""The output of training processes: written to a file, shown by the worker, shipped to the store while they run."""
