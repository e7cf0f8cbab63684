"""The dashboard: one page whose modules ask the API as any other client does, and the files that it is made of."""
