"""The reconciler: expires leases, dispatches to Redis, sends notifications, publishes artifacts, deletes garbage."""
