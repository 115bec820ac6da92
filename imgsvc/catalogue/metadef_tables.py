"""The tables of metadata definitions."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from imgsvc.catalogue.tables import metadata
from imgsvc.metadef_model import LONGEST_NAME

__all__ = ["metadef_definitions", "metadef_namespaces", "metadef_resource_types"]

metadef_namespaces = Table(
    "metadef_namespaces",
    metadata,
    Column("key", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    # Grows with every change of the namespace or of a definition in it.
    Column("revision", BigInteger, nullable=False),
    Column("namespace", String(LONGEST_NAME), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("display_name", String(LONGEST_NAME)),
    Column("description", String(500)),
    Column("visibility", String(30), nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("owner", String(255)),
    UniqueConstraint("namespace", name="uq_metadef_namespaces_namespace"),
    Index(None, "created_at", "namespace"),
    sqlite_autoincrement=True,
)

metadef_definitions = Table(
    "metadef_definitions",
    metadata,
    Column("namespace_key", ForeignKey("metadef_namespaces.key"), primary_key=True),
    Column("kind", String(30), primary_key=True),
    Column("name", String(LONGEST_NAME), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Index(None, "kind", "name"),
    sqlite_with_rowid=False,
)

metadef_resource_types = Table(
    "metadef_resource_types",
    metadata,
    Column("name", String(LONGEST_NAME), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
