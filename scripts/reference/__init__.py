"""Writes the pages of docs/reference that the code itself can tell: `python -m scripts.reference`, see decision 26."""
