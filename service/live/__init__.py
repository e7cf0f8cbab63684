"""Answers that wait or stream: job changes, events, logs, offers of work. Nothing here writes rows."""
