"""Run by Alembic: migrates over the connection, and in the transaction, that `schema.upgrade` hands in.

Columns that are added are made as those of new tables are, see `dialects.py`.
"""

from __future__ import annotations

from typing import Any

from alembic import context
from alembic.ddl.base import AddColumn, visit_add_column
from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles

from imgsvc.catalogue.tables import metadata


@compiles(AddColumn, "postgresql")
def _postgresql_column(element: AddColumn, compiler: Any, **options: Any) -> str:
    text = visit_add_column(element, compiler, **options)
    return f'{text} COLLATE "C"' if isinstance(element.column.type, String) else text


@compiles(AddColumn, "mariadb")
def _mariadb_column(element: AddColumn, compiler: Any, **options: Any) -> str:
    element.if_not_exists = True
    return visit_add_column(element, compiler, **options)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
