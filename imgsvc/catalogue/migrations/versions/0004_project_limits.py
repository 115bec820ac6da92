"""Limits of projects."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "project_limits",
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "name", name="pk_project_limits"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "project_turns",
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("turns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("project_id", name="pk_project_turns"),
        sqlite_with_rowid=False,
    )
    live = sa.text("deleted_at IS NULL")
    op.create_index(
        "ix_images_owner_status",
        "images",
        ["owner", "status", "deleted_at"],
        sqlite_where=live,
        postgresql_where=live,
    )
