"""The worker: a supervisor process that gets attempts, and a training process that runs one."""
