"""The state of a run: step plan, cursor, learning rate schedules, throughput."""
