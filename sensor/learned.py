"""What traffic taught, kept in the history's database from one run to the next.

Addresses and accounts of services, the inventory's objects, and the lessons of the correlation.
What is not seen any more is forgotten after the history's days.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from sensor.accounts import Account
from sensor.correlate.inventory import Known
from sensor.services import Learned, Strength

_TABLES = (
    """CREATE TABLE IF NOT EXISTS address (
        ip TEXT NOT NULL,
        port INTEGER NOT NULL,
        service TEXT NOT NULL,
        strength INTEGER NOT NULL,
        seen_ns INTEGER NOT NULL,
        PRIMARY KEY (ip, port, service)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS account (
        service TEXT NOT NULL,
        user TEXT NOT NULL,
        body TEXT NOT NULL,
        seen_ns INTEGER NOT NULL,
        PRIMARY KEY (service, user)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS object (
        host TEXT NOT NULL,
        id TEXT NOT NULL,
        body TEXT NOT NULL,
        seen_ns INTEGER NOT NULL,
        PRIMARY KEY (host, id)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS lesson (
        name TEXT NOT NULL PRIMARY KEY,
        body TEXT NOT NULL
    ) WITHOUT ROWID""",
)
_FADING = ("address", "account", "object")
ROWS_MAX = 100_000  # of a table: those not seen for longest leave
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class News:
    """What was learned: all of it, but of the objects those that changed."""

    addresses: Sequence[Learned] = ()
    accounts: Sequence[Account] = ()
    objects: Sequence[Known] = ()
    gone: Sequence[tuple[str, str]] = ()  # objects that are no more
    lessons: Mapping[str, Any] = field(default_factory=dict)  # of the correlation
    unread: int = 0  # rows that no version writes: damaged, and left out


def write(database: sqlite3.Connection, news: News, now_ns: int, oldest_ns: int) -> None:
    """Add what is new, and forget what was not seen since `oldest_ns`."""
    with database:
        for table in _TABLES:
            database.execute(table)
        database.executemany(
            "INSERT INTO address VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " strength = max(strength, excluded.strength),"
            " seen_ns = max(seen_ns, excluded.seen_ns)",
            news.addresses,
        )
        database.executemany(
            "INSERT OR REPLACE INTO account VALUES (?, ?, ?, ?)",
            ((each.service, each.user, json.dumps(each), each.seen_ns) for each in news.accounts),
        )
        database.executemany(
            "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?)",
            ((each.host, each.id, json.dumps(each), now_ns) for each in news.objects),
        )
        database.executemany("DELETE FROM object WHERE host = ? AND id = ?", news.gone)
        database.executemany(
            "INSERT OR REPLACE INTO lesson VALUES (?, ?)",
            ((name, json.dumps(body)) for name, body in news.lessons.items()),
        )
        for table in _FADING:
            database.execute(f"DELETE FROM {table} WHERE seen_ns < ?", (oldest_ns,))
            [count] = database.execute(f"SELECT count(*) FROM {table}").fetchone()
            if count > ROWS_MAX:
                latest = f"SELECT seen_ns FROM {table} ORDER BY seen_ns DESC LIMIT 1 OFFSET ?"
                database.execute(f"DELETE FROM {table} WHERE seen_ns <= ({latest})", (ROWS_MAX,))


def read(database: sqlite3.Connection) -> News:
    """Addresses the latest first: of two that speak of one it is the one to believe."""
    there = {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}

    def rows(table: str, query: str) -> list[tuple[Any, ...]]:
        return database.execute(query).fetchall() if table in there else []

    addresses = rows(
        "address",
        "SELECT ip, port, service, strength, seen_ns FROM address"
        " ORDER BY seen_ns DESC, strength DESC",
    )
    accounts = rows("account", "SELECT body FROM account ORDER BY seen_ns DESC")
    objects = rows("object", f"SELECT body FROM object ORDER BY seen_ns DESC LIMIT {ROWS_MAX}")
    lessons = rows("lesson", "SELECT name, body FROM lesson")
    news = News(
        _readable(addresses, _address),
        _readable(accounts, _account),
        _readable(objects, _object),
        (),
        dict(_readable(lessons, lambda row: (str(row[0]), json.loads(row[1])))),
    )
    there_are = len(addresses) + len(accounts) + len(objects) + len(lessons)
    were_read = len(news.addresses) + len(news.accounts) + len(news.objects) + len(news.lessons)
    return replace(news, unread=there_are - were_read)


def _readable(rows: Iterable[tuple[Any, ...]], read_one: Callable[[tuple[Any, ...]], T]) -> list[T]:
    found = []
    for row in rows:
        try:
            found.append(read_one(row))
        except (ValueError, TypeError, RecursionError):
            continue
    return found


def _address(row: tuple[Any, ...]) -> Learned:
    _require(row, (str, int, str, int, int))
    ip, port, service, strength, seen_ns = row
    return Learned(ip, port, service, Strength(strength), seen_ns)


def _account(row: tuple[Any, ...]) -> Account:
    values = json.loads(row[0])
    _require(values, (str, str, str, list, list, int, int))
    for each in (*values[3], *values[4]):
        _require([each], (str,))
    return Account(*values)


def _object(row: tuple[Any, ...]) -> Known:
    values = json.loads(row[0])
    _require(values, (str, str, str, str, str, str, list, list))
    for link in (*values[6], *values[7]):
        _require(link, (str, str, float))
        if not 0.0 <= link[2] <= 1.0:
            raise ValueError("a weight is a share")
    return Known(*values)


def _require(values: Sequence[Any], kinds: Sequence[type]) -> None:
    """Raises TypeError unless the values are of these kinds."""
    if [type(value) for value in values] != list(kinds):
        raise TypeError("other columns than are written")
