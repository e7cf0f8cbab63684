"""Writes the pages of docs/reference that are generated from the code: `python -m scripts.reference` (decision 26)."""
