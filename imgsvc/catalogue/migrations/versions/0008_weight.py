"""How much the properties and locations of an image are, so that nobody reads them to learn it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MariaDB undoes no definitions: an upgrade that was interrupted finds the column there.
    exists = True if op.get_bind().dialect.name == "mariadb" else None
    column = sa.Column("weight", sa.BigInteger, nullable=False, server_default="0")
    op.add_column("images", column, if_not_exists=exists)
    # In characters, where it is bytes from now on: near enough.
    of_properties = "SELECT COALESCE(SUM(length(value) + length(name)), 0) FROM image_properties"
    of_locations = "SELECT COALESCE(SUM(length(url) + length(metadata)), 0) FROM image_locations"
    op.execute(
        f"UPDATE images SET weight = ({of_properties} WHERE image_id = images.id)"
        f" + ({of_locations} WHERE image_id = images.id AND doomed_at IS NULL)"
    )
