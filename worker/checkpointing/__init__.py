"""Checkpoints: the files of one, and the queue that uploads them while training continues."""
