"""The service's use of the blob store: its identity, checks of workers' reports, streamed reads."""
