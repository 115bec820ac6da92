"""Members of images, and indexes: for lists in every order, and for what a store is to let go of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEYS = ("created_at", "updated_at", "name", "size", "status", "container_format", "disk_format", "id")


def upgrade() -> None:
    op.create_table(
        "image_members",
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("member_id", sa.String(255), nullable=False),
        sa.Column("status", sa.String(30), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_image_members_image_id"),
        sa.PrimaryKeyConstraint("image_id", "member_id", name="pk_image_members"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_image_members_member_id_status_image_id", "image_members", ["member_id", "status", "image_id"])
    op.drop_index("ix_image_locations_doomed_at", "image_locations")
    op.create_index("ix_image_locations_store_id_doomed_at", "image_locations", ["store_id", "doomed_at"])
    op.add_column("image_properties", sa.Column("value_start", sa.String(64), sa.Computed("substr(value, 1, 64)")))
    op.create_index(
        "ix_image_properties_name_value_start_image_id", "image_properties", ["name", "value_start", "image_id"]
    )
    for name in (
        "ix_images_deleted_at_created_at_id",
        "ix_images_deleted_at_name",
        "ix_images_owner_deleted_at_created_at_id",
    ):
        op.drop_index(name, "images")
    live = sa.text("deleted_at IS NULL")
    for key in KEYS:
        for run in (("visibility",), ("owner", "visibility")):
            columns = dict.fromkeys((*run, "os_hidden", key, "created_at", "id"))
            op.create_index(
                f"ix_images_{'_'.join(run)}_{key}", "images", [*columns], sqlite_where=live, postgresql_where=live
            )
