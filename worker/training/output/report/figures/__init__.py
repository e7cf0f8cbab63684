"""The figures of a report. They use matplotlib without pyplot, so there is no global state."""
