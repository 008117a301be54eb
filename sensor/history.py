"""Records of the last days in SQLite, for `hoptap who`.

Holds records, and what traffic showed of addresses, so nothing secret. One process writes; readers
come and go (WAL). A record is found by the names it speaks of: its target, its users, the host it
happened at, the candidates of its hop and what else its action names.
"""

import json
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.outbox import SinkError
from sensor import learned
from sensor.learned import News
from sensor.metrics import Counted
from sensor.records import Record, as_dict

APPLICATION_ID = 0x686F7074  # "hopt", SQLite header offset 68
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 10.0  # a reader's long query must not fail a write
PRUNE_EVERY_S = 300.0
PRUNE_TO = 0.95  # of bytes_max: the next prune is then not due at once
PRUNE_RECORDS = 5000  # in one transaction: a queue waits behind it
DAY_NS = 86_400 * 10**9

_SCHEMA = f"""
PRAGMA auto_vacuum = INCREMENTAL;
BEGIN;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE record (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    ts INTEGER NOT NULL,
    amends TEXT,
    body TEXT NOT NULL
);
CREATE INDEX record_ts ON record (ts);
CREATE INDEX record_amends ON record (amends) WHERE amends IS NOT NULL;
CREATE TABLE name (
    number INTEGER PRIMARY KEY,
    folded TEXT NOT NULL UNIQUE -- without case, so that it is found as people type it
);
CREATE TABLE mention (
    name INTEGER NOT NULL REFERENCES name,
    record INTEGER NOT NULL REFERENCES record,
    PRIMARY KEY (name, record)
) WITHOUT ROWID;
CREATE INDEX mention_record ON mention (record);
COMMIT;
"""


class HistoryError(SinkError):
    """The history cannot be opened, read or written. One line."""


NEWS_MAX = 16  # of what is learned, while nothing can be written


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the history may hold. `keep_days` None: no record is too old (a replay)."""

    keep_days: int | None = None
    bytes_max: int = 1 << 40


class History:
    """The writing side: a sink. Used by one thread at a time."""

    name = "history"

    def __init__(
        self,
        path: Path,
        *,
        bounds: Bounds = Bounds(),
        removed: Counted | None = None,
        aliases: Callable[[dict[str, Any]], set[str]] | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Opens, or makes, the database. Raises HistoryError.

        `aliases`: what else a record is asked for by, as pseudonyms that sinks send.
        """
        self._path = path
        self._aliases = aliases
        self._bounds = bounds
        self._removed = removed
        self._clock_ns = clock_ns
        with _errors_of(path):
            self._database = _open_writable(path)
        self.bytes = 0  # in use, after the last write
        self._news: deque[News] = deque(maxlen=NEWS_MAX)
        self.unwritten = Counted(
            "hoptap_history_unwritten_total",
            "Times that what was learned was given up, since it could not be written for so long.",
            (),
            [()],
        )
        self.prune()

    def write(self, records: Sequence[Record]) -> None:
        """All of the batch in one transaction, or none."""
        with _errors_of(self._path):
            with self._database:
                for record in records:
                    self._insert(record)
            self.bytes = self._size_bytes()
        if self.bytes > self._bounds.bytes_max:
            self.prune()

    def recalled(self) -> News:
        """What earlier runs learned. Before the first write."""
        with _errors_of(self._path):
            return learned.read(self._database)

    def remember(self, news: News) -> None:
        """To be written soon; from any thread."""
        if len(self._news) == NEWS_MAX:
            self.unwritten.add()
        self._news.append(news)

    def tick(self) -> None:
        self._write_news()
        if time.monotonic() - self._pruned_at >= PRUNE_EVERY_S:
            self.prune()

    def reopen(self) -> None:
        """A database is not rotated."""

    def close(self) -> None:
        with _errors_of(self._path):
            try:
                self._write_news()
            finally:
                self._database.close()

    def _write_news(self) -> None:
        while self._news:
            with _errors_of(self._path):
                learned.write(self._database, self._news[0], self._clock_ns(), self._oldest_ns())
            self._news.popleft()

    def _oldest_ns(self) -> int:
        if self._bounds.keep_days is None:
            return 0
        return self._clock_ns() - self._bounds.keep_days * DAY_NS

    def _size_bytes(self) -> int:
        """Bytes in use: pages freed by pruning are used again before the file grows."""
        pages, free, page_bytes = (
            self._database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * page_bytes)

    def prune(self) -> None:
        """Remove what is too old, then the oldest until the size is within bounds."""
        self._pruned_at = time.monotonic()
        with _errors_of(self._path):
            if self._bounds.keep_days is not None:
                self._remove("age", "ts < ?", self._oldest_ns())
            while self._size_bytes() > self._bounds.bytes_max * PRUNE_TO:
                oldest = "number IN (SELECT number FROM record ORDER BY ts LIMIT ?)"
                if not self._remove("size", oldest, PRUNE_RECORDS):
                    break
            self._database.execute("PRAGMA incremental_vacuum").fetchall()
            self.bytes = self._size_bytes()

    def _insert(self, record: Record) -> None:
        body = as_dict(record)
        row = (record.id, record.ts, record.amends or None, json.dumps(body, separators=(",", ":")))
        inserted = self._database.execute(
            "INSERT OR IGNORE INTO record (id, ts, amends, body) VALUES (?, ?, ?, ?)", row
        )
        if not inserted.rowcount:
            return
        number = inserted.lastrowid
        names = {*names_of(body), *(self._aliases(body) if self._aliases else ())}
        for folded in {name.casefold() for name in names}:
            self._database.execute("INSERT OR IGNORE INTO name (folded) VALUES (?)", (folded,))
            self._database.execute(
                "INSERT INTO mention SELECT number, ? FROM name WHERE folded = ?", (number, folded)
            )

    def _remove(self, reason: str, condition: str, value: int) -> int:
        with self._database:
            doomed = f"SELECT number FROM record WHERE {condition}"
            self._database.execute(f"DELETE FROM mention WHERE record IN ({doomed})", (value,))
            count = self._database.execute(
                f"DELETE FROM record WHERE {condition}", (value,)
            ).rowcount
            if count:
                self._database.execute(
                    "DELETE FROM name WHERE NOT EXISTS"
                    " (SELECT 1 FROM mention WHERE mention.name = name.number)"
                )
        if self._removed:
            self._removed.add(reason, by=count)
        return count


@dataclass(frozen=True, slots=True)
class Query:
    """What `who` asks: a name, a glob of names, or a part of one; a time span in ns."""

    name: str
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int = 1000


def find(path: Path, query: Query) -> list[dict[str, Any]]:
    """The newest `limit` records that speak of a name, oldest first; amended ones as last said.

    A name with *, ? or [ is a glob; else names equal to it count, and when there are none, names
    that hold it. Case does not matter. Raises HistoryError.
    """
    with _errors_of(path), closing(_open_readable(path)) as database:
        _check_ours(database, path)
        return list(_found(database, query))


def known(path: Path) -> News:
    """What was learned. Raises HistoryError."""
    with _errors_of(path), closing(_open_readable(path)) as database:
        _check_ours(database, path)
        return learned.read(database)


def _found(database: sqlite3.Connection, query: Query) -> Iterator[dict[str, Any]]:
    names = _matching(database, query.name)
    marks = ",".join("?" * len(names))
    rows = database.execute(
        f"""SELECT body FROM record WHERE number IN (
            SELECT found.number FROM mention JOIN record AS found ON found.number = mention.record
            WHERE mention.name IN ({marks}) AND found.ts BETWEEN ? AND ?
            AND NOT EXISTS (SELECT 1 FROM record AS later WHERE later.amends = found.id
                OR (later.amends = found.amends AND later.number > found.number))
            GROUP BY found.number ORDER BY found.ts DESC, found.number DESC LIMIT ?)
        ORDER BY ts, number""",
        (*names, query.since_ns or 0, query.until_ns or (1 << 63) - 1, query.limit),
    )
    for (body,) in rows:
        yield json.loads(body)


def _matching(database: sqlite3.Connection, name: str) -> list[int]:
    folded = name.casefold()
    if any(mark in name for mark in "*?["):
        return _names(database, "folded GLOB ?", folded)
    equal = _names(database, "folded = ?", folded)
    return equal or _names(database, "instr(folded, ?) > 0", folded)


def _names(database: sqlite3.Connection, condition: str, value: str) -> list[int]:
    # 30,000 is below SQLITE_MAX_VARIABLE_NUMBER (32766); a pattern that matches more says nothing.
    rows = database.execute(f"SELECT number FROM name WHERE {condition} LIMIT 30000", (value,))
    return [number for (number,) in rows]


def names_of(body: dict[str, Any]) -> Iterator[str]:
    """Names by which a record is asked for."""
    hop = body.get("hop", {})
    target = body.get("target", {})
    spoken: Iterable[str | None] = (
        target.get("name"),
        target.get("id"),
        body.get("guest_user"),
        hop.get("user"),
        body.get("from", {}).get("user"),
        body.get("to", {}).get("user"),
        body.get("to", {}).get("host"),
        *body.get("chain", {}).get("users", ()),
        *(candidate.get("user") for candidate in hop.get("candidates", ())),
        *body.get("extra", {}).get("related", "").split(", "),  # a new machine's name
    )
    return (name for name in spoken if name)


def _open_writable(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
    except OSError as error:
        raise HistoryError(f"history {path}: {error.strerror}") from None
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        if not database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            database.executescript(_SCHEMA)
        _check_ours(database, path)
        database.execute("PRAGMA journal_mode = WAL").fetchone()
        database.execute("PRAGMA synchronous = NORMAL")  # with WAL a power cut costs last commits
    except BaseException:
        database.close()
        raise
    return database


def _open_readable(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise HistoryError(f"history {path}: No such file or directory")
    if not path.is_file():
        raise HistoryError(f"history {path}: is no regular file")
    options = "mode=ro"
    if not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists():
        options += "&immutable=1"  # nobody writes, and a reader may not make the WAL's files
    uri = f"{path.absolute().as_uri()}?{options}"
    return sqlite3.connect(uri, timeout=BUSY_TIMEOUT_S, uri=True)


def _check_ours(database: sqlite3.Connection, path: Path) -> None:
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        line = f"history {path}: is another program's database, left untouched"
        raise HistoryError(line, final=True)
    if version != SCHEMA_VERSION:
        line = f"history {path}: has schema {version}, this hoptap knows {SCHEMA_VERSION}"
        raise HistoryError(line, final=True)


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into HistoryError, one line that names the file."""
    try:
        yield
    except sqlite3.OperationalError as error:  # busy, disk full: may pass
        raise HistoryError(f"history {path}: {error}") from None
    except sqlite3.Error as error:  # corrupt, not a database
        raise HistoryError(f"history {path}: {error}", final=True) from None
