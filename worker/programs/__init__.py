"""The compiled programs of an attempt: a folder that TensorFlow reads and fills, and that goes with the checkpoints."""
