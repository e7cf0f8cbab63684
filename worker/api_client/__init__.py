"""The worker's side of the REST API: one method for each call, and what an answer means."""
