"""Deleted images out of the way of lists on MariaDB, whose indexes have all rows of a table.

On the other databases they are in none of these indexes; and PostgreSQL takes a column that is NULL for one by which
there is something to be sorted.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEYS = ("created_at", "updated_at", "name", "size", "status", "container_format", "disk_format", "id")


def upgrade() -> None:
    if op.get_bind().dialect.name != "mariadb":
        return
    for key in KEYS:
        for run in (("visibility",), ("owner", "visibility")):
            name = f"ix_images_{'_'.join(run)}_{key}"
            op.drop_index(name, "images")
            op.create_index(
                name, "images", [*dict.fromkeys((*run, "os_hidden", "deleted_at", key, "created_at", "id"))]
            )
