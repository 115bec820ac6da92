"""What tells a catalogue from all others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "catalogue_identity",
        sa.Column("key", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("catalogue_id", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_catalogue_identity"),
        sqlite_with_rowid=False,
    )
