"""Communication of supervisor and training process: messages, orders, and progress in shared memory."""
