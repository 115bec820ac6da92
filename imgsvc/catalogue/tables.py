"""The tables of the catalogue.

Times are integers: microseconds since 1970 UTC. All databases compare and add integers alike, and do not round them.
`migrations/` creates the same tables; a test compares both.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from imgsvc.image_fields import SORT_KEYS

__all__ = [
    "SORT_KEYS",
    "image_locations",
    "image_members",
    "image_properties",
    "image_tags",
    "images",
    "metadata",
]

VALUE_START: Final = 64
"""Characters of a property's value that are indexed."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

images = Table(
    "images",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # Set while the image is deleted. The row stays, so that the id is not used again.
    Column("deleted_at", BigInteger),
    Column("status", String(30), nullable=False),
    Column("name", String(255)),
    Column("visibility", String(30), nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("os_hidden", Boolean, nullable=False),
    Column("owner", String(255)),
    Column("container_format", String(30)),
    Column("disk_format", String(30)),
    Column("min_disk", Integer, nullable=False),
    Column("min_ram", Integer, nullable=False),
    Column("size", BigInteger),
    Column("virtual_size", BigInteger),
    Column("checksum", String(32)),
    Column("os_hash_algo", String(64)),
    Column("os_hash_value", String(128)),
    # The number of leases on the image so far. Lease ids begin with it.
    Column("claims", Integer, nullable=False, server_default="0"),
    # The status that a deleted image had.
    Column("deleted_from", String(30)),
    # An estimate of the bytes of JSON of its properties and locations.
    Column("weight", BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

# Every list is merged from ranges of these indexes. A range has the images of one visibility, or of one owner and
# visibility, hidden or not hidden, sorted by one key. The indexes have no deleted images. For PostgreSQL, migrations
# 0002 and 0004 say so: an option here would make SQLAlchemy import that dialect at every start. MariaDB has no partial
# indexes: there `deleted_at` is a column of each index, before the key (migration 0005).
_IS_THERE: Final = images.c.deleted_at.is_(None)
for _key in SORT_KEYS:
    for _run in (("visibility",), ("owner", "visibility")):
        Index(
            f"ix_images_{'_'.join(_run)}_{_key}",
            *(images.c[_name] for _name in dict.fromkeys((*_run, "os_hidden", _key, "created_at", "id"))),
            sqlite_where=_IS_THERE,
        )

# The images of a project are counted from this index alone. It contains `deleted_at`, because SQLite reads that
# column despite the condition of the index.
Index(
    "ix_images_owner_status",
    *(images.c[_name] for _name in ("owner", "status", "deleted_at")),
    sqlite_where=_IS_THERE,
)

image_properties = Table(
    "image_properties",
    metadata,
    Column("image_id", ForeignKey("images.id"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("value", Text, nullable=False),
    # Databases limit the length of an indexed value.
    Column("value_start", String(VALUE_START), Computed(f"substr(value, 1, {VALUE_START})")),
    Index(None, "name", "value_start", "image_id"),
    sqlite_with_rowid=False,
)

image_tags = Table(
    "image_tags",
    metadata,
    Column("image_id", ForeignKey("images.id"), primary_key=True),
    Column("value", String(255), primary_key=True),
    Index(None, "value", "image_id"),
    sqlite_with_rowid=False,
)

image_members = Table(
    "image_members",
    metadata,
    Column("image_id", ForeignKey("images.id"), primary_key=True),
    Column("member_id", String(255), primary_key=True),
    Column("status", String(30), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index(None, "member_id", "status", "image_id"),
    sqlite_with_rowid=False,
)

image_locations = Table(
    "image_locations",
    metadata,
    # Never used twice: a late `forget_location` must not remove another location.
    Column("key", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("image_id", ForeignKey("images.id"), nullable=False, index=True),
    Column("store_id", String(255), nullable=False),
    Column("url", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    # Set when the location becomes a pending deletion. The row is deleted when the bytes are gone.
    Column("doomed_at", BigInteger),
    # Not `doomed_at` alone: MariaDB would use that index also to find the locations of one image.
    Index(None, "store_id", "doomed_at"),
    sqlite_autoincrement=True,
)

# Limits that an operator sets for one project. They override the configuration. A negative value means no limit.
project_limits = Table(
    "project_limits",
    metadata,
    Column("project_id", String(255), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# A transaction that adds to the counts of a project first changes this row, and so locks it until it ends.
project_turns = Table(
    "project_turns",
    metadata,
    Column("project_id", String(255), primary_key=True),
    Column("turns", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# One row with the unique id of this catalogue. It is added when the id is first needed.
catalogue_identity = Table(
    "catalogue_identity",
    metadata,
    Column("key", Integer, primary_key=True, autoincrement=False),
    Column("catalogue_id", String(36), nullable=False),
    sqlite_with_rowid=False,
)
