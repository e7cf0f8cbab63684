"""What the supervisor and the training process exchange: messages, orders, progress in shared memory."""
