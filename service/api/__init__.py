"""The REST API: one module for each resource, and what all routes share."""
