"""What traffic showed of addresses, kept in the history's database from one run to the next."""

import sqlite3
from collections.abc import Iterable

from sensor.services import Learned

_TABLE = """
CREATE TABLE IF NOT EXISTS address (
    ip TEXT NOT NULL,
    port INTEGER NOT NULL,
    service TEXT NOT NULL,
    strength INTEGER NOT NULL,
    seen_ns INTEGER NOT NULL,
    PRIMARY KEY (ip, port, service)
) WITHOUT ROWID
"""


def write(database: sqlite3.Connection, learned: Iterable[Learned], oldest_ns: int) -> None:
    """Add what is new, and forget what was not seen since `oldest_ns`."""
    with database:
        database.execute(_TABLE)
        database.executemany(
            "INSERT INTO address VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " strength = max(strength, excluded.strength),"
            " seen_ns = max(seen_ns, excluded.seen_ns)",
            learned,
        )
        database.execute("DELETE FROM address WHERE seen_ns < ?", (oldest_ns,))


def read(database: sqlite3.Connection) -> list[Learned]:
    """The latest first: of two that speak of one address it is the one to believe."""
    if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'address'").fetchone():
        return []
    rows = database.execute(
        "SELECT ip, port, service, strength, seen_ns FROM address"
        " ORDER BY seen_ns DESC, strength DESC"
    )
    return [Learned(*row) for row in rows]
