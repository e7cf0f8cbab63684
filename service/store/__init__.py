"""The service's use of the object store: its identity, checks of what workers report, streamed reads."""
