"""Runs users' own programs. Needs no NumPy and no TensorFlow."""
