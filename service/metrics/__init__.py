"""What Prometheus reads: counters of this process, and numbers that are made of the rows when it asks."""
