"""The status that deleted images had: by it they keep their place in lists, for who goes on from there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MariaDB undoes no definitions: an upgrade that was interrupted finds the column there.
    exists = True if op.get_bind().dialect.name == "mariadb" else None
    op.add_column("images", sa.Column("deleted_from", sa.String(30)), if_not_exists=exists)
