"""What the adapters for frameworks share. `baton.keras`, `baton.torch` and `baton.jax` are what programs import."""
