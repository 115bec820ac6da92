from __future__ import annotations

from sqlalchemy import Connection, Integer, bindparam, create_engine, insert, select
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.catalogue.lease_tables import leases
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.tables import metadata


class StatementTest(SynchronousTestCase):
    """Statements for drivers with positional parameters, and with named ones."""

    def open(self, paramstyle: str) -> Connection:
        engine = create_engine("sqlite://", paramstyle=paramstyle)
        self.addCleanup(engine.dispose)
        connection = engine.connect()
        self.addCleanup(connection.close)
        metadata.create_all(connection)
        return connection

    def statements(self) -> tuple[Statement, Statement]:
        names = ("resource_id", "lease_id", "kind")
        add = insert(leases).values({name: bindparam(name) for name in names} | {"expires_at": 5})
        found = select(leases.c.resource_id, leases.c.expires_at).where(
            leases.c.lease_id == bindparam("wanted"), leases.c.expires_at + bindparam("more", type_=Integer) > 6
        )
        return Statement(add), Statement(found)

    def test_values(self) -> None:
        """Values are given by name, in any number of runs, and constants stay."""
        for paramstyle in ("qmark", "named"):
            connection = self.open(paramstyle)
            add, found = self.statements()
            self.assertEqual(add.run(connection, kind="s", lease_id="u1", resource_id="i1"), 1)
            rows = [{"resource_id": f"i{number}", "lease_id": f"u{number}", "kind": "s"} for number in (2, 3)]
            add.run_for_each(connection, rows)
            for number in (1, 2, 3):
                wanted = {"wanted": f"u{number}", "not_in_it": 1}
                self.assertEqual(list(found.rows(connection, more=2, **wanted)), [(f"i{number}", 5)])
                self.assertEqual(list(found.rows(connection, more=1, **wanted)), [])

    def test_missing(self) -> None:
        """A missing value is an error, not null."""
        for paramstyle in ("qmark", "named"):
            _, found = self.statements()
            self.assertRaises(KeyError, found.rows, self.open(paramstyle), wanted="u1")
