"""The history of the tables, for Alembic. It goes forward only."""
