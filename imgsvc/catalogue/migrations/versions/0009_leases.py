"""Leases apart from what they are held for, with the objects of their holders; and tasks.

A row of `uploads` was a lease: of an upload into a store, or, where the status of its image said so, of the task that
reads what was registered by location. That task's id is in a property of the image.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.String(36), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("status", sa.String(30), nullable=False),
        sa.Column("owner", sa.String(255)),
        sa.Column("image_id", sa.String(36)),
        sa.Column("user_id", sa.String(255)),
        sa.Column("request_id", sa.String(255)),
        sa.Column("input", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("progress", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("cancelled_at", sa.BigInteger),
        sa.Column("expires_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("task_id", name="pk_tasks"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tasks_image_id", "tasks", ["image_id"])
    op.create_index("ix_tasks_expires_at", "tasks", ["expires_at"])
    op.create_index("ix_tasks_owner_created_at_task_id", "tasks", ["owner", "created_at", "task_id"])
    op.create_table(
        "leases",
        sa.Column("resource_id", sa.String(36), nullable=False),
        sa.Column("lease_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(30), nullable=False),
        sa.Column("task_id", sa.String(36)),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("resource_id", name="pk_leases"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "lease_objects",
        sa.Column("resource_id", sa.String(36), nullable=False),
        sa.Column("store_id", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("lease_id", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["resource_id"], ["leases.resource_id"], name="fk_lease_objects_resource_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("resource_id", "store_id", "name", "lease_id", name="pk_lease_objects"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_lease_objects_store_id_name", "lease_objects", ["store_id", "name"])
    # MariaDB undoes no definitions: an upgrade that was interrupted finds what it made, or finds `uploads` gone.
    if sa.inspect(op.get_bind()).has_table("uploads"):
        _copy()
        op.drop_table("uploads")


def _copy() -> None:
    connection = op.get_bind()
    for table in ("lease_objects", "leases", "tasks"):
        connection.execute(sa.text(f"DELETE FROM {table}"))
    lock = "SELECT value FROM image_properties WHERE image_id = images.id AND name = 'os_glance_import_task'"
    rows = connection.execute(
        sa.text(
            f"SELECT image_id, upload_id, store_id, expires_at, status, owner, updated_at, ({lock}) AS task_id"
            " FROM uploads JOIN images ON images.id = uploads.image_id"
        )
    ).all()
    for row in rows:
        # What is left of a deleted image is removed as that of an upload is, whatever it was.
        is_upload = row.status in ("saving", "deleted")
        task_id = None if is_upload else _add_task(row)
        _insert(
            "leases",
            resource_id=row.image_id,
            lease_id=row.upload_id,
            kind="upload" if is_upload else "task",
            task_id=task_id,
            expires_at=row.expires_at,
        )
        if is_upload:
            names = {"resource_id": row.image_id, "name": row.image_id}
            _insert("lease_objects", **names, store_id=row.store_id, lease_id=row.upload_id)


def _add_task(row: Any) -> str:
    """Its id."""
    task_id = row.task_id if row.task_id and len(row.task_id) <= 36 else str(uuid4())
    _insert(
        "tasks",
        task_id=task_id,
        type="hash_location",
        status="processing",
        owner=row.owner,
        image_id=row.image_id,
        input=json.dumps({"image_id": row.image_id}),
        message="",
        progress=0,
        created_at=row.updated_at,
        updated_at=row.updated_at,
    )
    return task_id


def _insert(table: str, **values: object) -> None:
    columns, places = ", ".join(values), ", ".join(f":{name}" for name in values)
    op.get_bind().execute(sa.text(f"INSERT INTO {table} ({columns}) VALUES ({places})"), values)
