"""Metadata definitions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "metadef_namespaces",
        sa.Column("key", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("namespace", sa.String(80), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("display_name", sa.String(80)),
        sa.Column("description", sa.String(500)),
        sa.Column("visibility", sa.String(30), nullable=False),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("owner", sa.String(255)),
        sa.PrimaryKeyConstraint("key", name="pk_metadef_namespaces"),
        sa.UniqueConstraint("namespace", name="uq_metadef_namespaces_namespace"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_metadef_namespaces_created_at_namespace", "metadef_namespaces", ["created_at", "namespace"])
    op.create_table(
        "metadef_definitions",
        sa.Column("namespace_key", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("kind", sa.String(30), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["namespace_key"], ["metadef_namespaces.key"], name="fk_metadef_definitions_namespace_key"
        ),
        sa.PrimaryKeyConstraint("namespace_key", "kind", "name", name="pk_metadef_definitions"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_metadef_definitions_kind_name", "metadef_definitions", ["kind", "name"])
    op.create_table(
        "metadef_resource_types",
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_metadef_resource_types"),
        sqlite_with_rowid=False,
    )
