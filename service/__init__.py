"""The control plane: a FastAPI service that records jobs in SQL and recovers them."""
