"""The worker's client of the REST API: one method for each call, and the meaning of answers."""
