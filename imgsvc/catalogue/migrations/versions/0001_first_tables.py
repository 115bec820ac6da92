"""Images with their properties, tags and locations; claims of uploads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "images",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("deleted_at", sa.BigInteger),
        sa.Column("status", sa.String(30), nullable=False),
        sa.Column("name", sa.String(255)),
        sa.Column("visibility", sa.String(30), nullable=False),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("os_hidden", sa.Boolean, nullable=False),
        sa.Column("owner", sa.String(255)),
        sa.Column("container_format", sa.String(30)),
        sa.Column("disk_format", sa.String(30)),
        sa.Column("min_disk", sa.Integer, nullable=False),
        sa.Column("min_ram", sa.Integer, nullable=False),
        sa.Column("size", sa.BigInteger),
        sa.Column("virtual_size", sa.BigInteger),
        sa.Column("checksum", sa.String(32)),
        sa.Column("os_hash_algo", sa.String(64)),
        sa.Column("os_hash_value", sa.String(128)),
        sa.Column("claims", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_images_deleted_at_created_at_id", "images", ["deleted_at", "created_at", "id"])
    op.create_index("ix_images_deleted_at_name", "images", ["deleted_at", "name"])
    op.create_index("ix_images_owner_deleted_at_created_at_id", "images", ["owner", "deleted_at", "created_at", "id"])
    op.create_table(
        "image_properties",
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_image_properties_image_id"),
        sa.PrimaryKeyConstraint("image_id", "name", name="pk_image_properties"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "image_tags",
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_image_tags_image_id"),
        sa.PrimaryKeyConstraint("image_id", "value", name="pk_image_tags"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_image_tags_value_image_id", "image_tags", ["value", "image_id"])
    op.create_table(
        "image_locations",
        sa.Column("key", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("store_id", sa.String(255), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("doomed_at", sa.BigInteger),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_image_locations_image_id"),
        sa.PrimaryKeyConstraint("key", name="pk_image_locations"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_image_locations_image_id", "image_locations", ["image_id"])
    op.create_index("ix_image_locations_doomed_at", "image_locations", ["doomed_at"])
    op.create_table(
        "uploads",
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("upload_id", sa.String(64), nullable=False),
        sa.Column("store_id", sa.String(255), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_uploads_image_id"),
        sa.PrimaryKeyConstraint("image_id", name="pk_uploads"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_uploads_expires_at", "uploads", ["expires_at"])
