"""The dashboard: one page whose JavaScript modules call the REST API, and its files."""
