"""The worker's access to the store: BATON_STORE, this machine's credentials, or requests through the service."""
