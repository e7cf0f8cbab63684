"""The worker's main process: gets attempts, runs one training process at a time, monitors it and ends it."""
