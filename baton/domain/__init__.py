"""The vocabulary that service, worker and client share: spec, states, messages, policies. Pure functions, no I/O."""
