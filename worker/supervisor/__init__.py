"""The worker's main process: gets attempts, runs one training process at a time, watches it, ends it."""
