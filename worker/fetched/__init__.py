"""What a worker fetches once for each machine: pushed data and code bundles. Needs no NumPy and no TensorFlow."""
