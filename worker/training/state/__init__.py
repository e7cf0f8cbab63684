"""Where a run stands: step plan, cursor, learning rate schedules, throughput."""
