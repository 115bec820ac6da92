"""The tables of the catalogue.

Times are whole microseconds since 1970 UTC: every database compares and adds integers alike, and none rounds them.
`migrations/` makes these tables; a test holds that both agree.
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
"""Characters of the value of a property that stand in an index."""

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
    # Set as long as clients find no image under this id: the row stays, so that the id stays taken.
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
    # How many leases there were on the image so far; lease ids begin with it.
    Column("claims", Integer, nullable=False, server_default="0"),
    # The status that a deleted image had.
    Column("deleted_from", String(30)),
    # Bytes of JSON of its properties and locations, about.
    Column("weight", BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

# Every list is made of runs of these: images of one visibility, or of one owner and visibility, that are hidden or are
# not, in the order of one key. What is deleted is in none of them. PostgreSQL is told so by migrations 0002 and 0004:
# said here, it would have SQLAlchemy import that dialect for every start. MariaDB has no such indexes: there
# `deleted_at` is a column of each, before the key (migration 0005).
_IS_THERE: Final = images.c.deleted_at.is_(None)
for _key in SORT_KEYS:
    for _run in (("visibility",), ("owner", "visibility")):
        Index(
            f"ix_images_{'_'.join(_run)}_{_key}",
            *(images.c[_name] for _name in dict.fromkeys((*_run, "os_hidden", _key, "created_at", "id"))),
            sqlite_where=_IS_THERE,
        )

# What a project has is counted from this alone. `deleted_at` is in it, because SQLite looks at it all the same.
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
    # No database has a value of any length in an index.
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
    # Never used twice: a late `forget_location` must not meet another location under its key.
    Column("key", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("image_id", ForeignKey("images.id"), nullable=False, index=True),
    Column("store_id", String(255), nullable=False),
    Column("url", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    # Set when the image has lost the location, which is a PendingDeletion then; the row goes when the bytes are gone.
    Column("doomed_at", BigInteger),
    # Not by `doomed_at` alone, by which MariaDB would look for the locations of one image, too.
    Index(None, "store_id", "doomed_at"),
    sqlite_autoincrement=True,
)

# What an operator sets for one project, in place of the configuration. value: negative is no limit.
project_limits = Table(
    "project_limits",
    metadata,
    Column("project_id", String(255), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Whoever changes what is counted of a project changes its row first: until the end of the transaction nobody else can.
project_turns = Table(
    "project_turns",
    metadata,
    Column("project_id", String(255), primary_key=True),
    Column("turns", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# One row, made when it is first asked for: what tells this catalogue from all others.
catalogue_identity = Table(
    "catalogue_identity",
    metadata,
    Column("key", Integer, primary_key=True, autoincrement=False),
    Column("catalogue_id", String(36), nullable=False),
    sqlite_with_rowid=False,
)
