"""Alembic's migrations. Nothing else creates or changes the schema."""
