"""Alembic's migrations. They alone make the schema."""
