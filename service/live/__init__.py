"""Long polls and streams: job changes, events, logs, offers of work. Writes nothing to the database."""
