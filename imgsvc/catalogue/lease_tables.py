"""The tables of leases and tasks. See `tables.py`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, Table, Text

from imgsvc.catalogue.tables import metadata

__all__ = ["lease_objects", "leases", "tasks"]

# Work that goes on after the response to its request. No foreign keys: a task may outlive its image.
tasks = Table(
    "tasks",
    metadata,
    Column("task_id", String(36), primary_key=True),
    Column("type", String(64), nullable=False),
    Column("status", String(30), nullable=False),
    Column("owner", String(255)),
    Column("image_id", String(36), index=True),
    Column("user_id", String(255)),
    Column("request_id", String(255)),
    # Documents of JSON.
    Column("input", Text, nullable=False),
    Column("result", Text),
    Column("message", Text, nullable=False),
    # Bytes that are done.
    Column("progress", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # Set when somebody asks for the end of the task. The holder of the lease then ends it.
    Column("cancelled_at", BigInteger),
    # When the row is deleted. None: the task has not ended.
    Column("expires_at", BigInteger, index=True),
    Index(None, "owner", "created_at", "task_id"),
    sqlite_with_rowid=False,
)

# The right to work on an image, or on a task that has no image yet. Each has at most one lease.
leases = Table(
    "leases",
    metadata,
    Column("resource_id", String(36), primary_key=True),
    # Every holder has a new one.
    Column("lease_id", String(64), nullable=False),
    Column("kind", String(30), nullable=False),
    # No foreign keys and no indexes: each upload adds and removes a row, and the table is small.
    Column("task_id", String(36)),
    # By the database's clock.
    Column("expires_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# The objects that holders of a lease may have begun in stores, with the lease id at that time. They are deleted with
# the lease.
lease_objects = Table(
    "lease_objects",
    metadata,
    Column("resource_id", ForeignKey("leases.resource_id", ondelete="CASCADE"), primary_key=True),
    Column("store_id", String(255), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("lease_id", String(64), primary_key=True),
    Index(None, "store_id", "name"),
    sqlite_with_rowid=False,
)
