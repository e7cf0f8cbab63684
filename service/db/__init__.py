"""Tables, transactions, locks and migrations; SQLite and PostgreSQL."""
