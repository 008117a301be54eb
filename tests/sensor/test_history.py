"""The history: what is written is found by every name it speaks of, within its bounds."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from exporters.privacy import Pseudonyms
from sensor.hashing import run_hasher
from sensor.history import DAY_NS, Bounds, History, HistoryError, Query, find, names_of
from sensor.metrics import Counted
from sensor.records import Candidate, Chain, Endpoint, Hop, ObjectRef, Record

MINUTE_NS = 60 * 10**9
NOW_NS = 1_763_730_000 * 10**9


def record(number: int, **fields: Any) -> Record:
    ts = NOW_NS + number * MINUTE_NS
    return replace(Record(kind="action", ts=ts, id=f"id-{number:05d}"), **fields)


RECORDS = [
    record(1, target=ObjectRef("VirtualMachine", "vm-1", "web-1")),
    record(2, target=ObjectRef("VirtualMachine", "vm-10", "web-10")),
    record(3, source=Endpoint(user="bob@acme")),
    record(4, to=Endpoint(user="ACME\\Zoë")),
    record(5, guest_user="root"),
    record(6, chain=Chain("c", "VCD:eve:ESX:vpxuser", ("eve", "vpxuser"), ("VCD", "ESX"), 2)),
    record(
        7,
        hop=Hop(1, 2, "ESX", "vpxuser", "ambiguous", 0.5, candidates=(
            Candidate("x", "alice", "VCD:alice", 0.5), Candidate("y", "carol", "VCD:carol", 0.5),
        )),
    ),
]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history.db"


@pytest.fixture
def filled(path: Path) -> Path:
    history = History(path)
    history.write(RECORDS)
    history.close()
    return path


def test_a_record_is_found_by_the_pseudonyms_that_sinks_send(path: Path) -> None:
    pseudonyms = Pseudonyms(run_hasher(), ("user", "ip"))
    history = History(path, aliases=pseudonyms.aliases)
    history.write([*RECORDS, record(8, source=Endpoint("10.0.0.8"))])
    history.close()
    assert ids(path, pseudonyms.user("bob@acme")) == [3]
    assert ids(path, pseudonyms.user("carol")) == [7]
    assert ids(path, pseudonyms.address("10.0.0.8")) == [8]
    assert ids(path, "bob@acme") == [3]


def ids(path: Path, name: str, **bounds: Any) -> list[int]:
    return [int(body["id"][3:]) for body in find(path, Query(name, **bounds))]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web-1", [1]),  # equal: web-10 is another machine
        ("WEB-1", [1]),
        ("web", [1, 2]),  # part of
        ("web-*", [1, 2]),
        ("web-1?", [2]),
        ("vm-10", [2]),
        ("bob@acme", [3]),
        ("bob", [3]),
        ("acme", [3, 4]),
        ("acme\\ZOË", [4]),
        ("root", [5]),
        ("eve", [6]),
        ("vpxuser", [6, 7]),
        ("carol", [7]),
        ("mallory", []),
        ("100%", []),
        ("_", []),
        ("", [1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_a_record_is_found_by_the_names_it_speaks_of(
    filled: Path, name: str, expected: list[int]
) -> None:
    assert ids(filled, name) == expected


def test_bounds_of_time_and_number(filled: Path) -> None:
    second, sixth = (NOW_NS + number * MINUTE_NS for number in (2, 6))
    assert ids(filled, "*", since_ns=second, until_ns=sixth) == [2, 3, 4, 5, 6]
    assert ids(filled, "*", limit=2) == [6, 7]


def test_an_amended_record_gives_way_to_its_amendment(path: Path) -> None:
    history = History(path)
    history.write(RECORDS[:1])
    for number in (98, 99):
        history.write([replace(RECORDS[0], id=f"id-000{number}", amends="id-00001")])
        assert ids(path, "web-1") == [number]
    history.close()


def test_what_is_found_is_the_record_as_exported(filled: Path) -> None:
    (found,) = find(filled, Query("eve"))
    assert found["schema"] == "hop/1"
    assert found["chain"]["path"] == "VCD:eve:ESX:vpxuser"
    assert found["ts"] == RECORDS[5].ts


def test_what_was_done_at_a_host_is_found_by_its_name(path: Path) -> None:
    history = History(path)
    history.write([record(1, to=Endpoint(host="esx1.lab")), record(2, to=Endpoint("10.0.4.12"))])
    history.close()
    assert ids(path, "esx1.lab") == [1]


def test_a_record_is_kept_once(path: Path) -> None:
    history = History(path)
    history.write(RECORDS[:2])
    history.write(RECORDS[:2])
    history.close()
    assert ids(path, "*") == [1, 2]


def test_a_second_start_goes_on(filled: Path) -> None:
    history = History(filled)
    history.write([record(8, guest_user="root")])
    history.close()
    assert ids(filled, "root") == [5, 8]


def counted() -> Counted:
    return Counted("removed", "", ("reason",), [("age",), ("size",)])


def test_old_records_leave(path: Path) -> None:
    removed = counted()
    history = History(
        path,
        bounds=Bounds(keep_days=1),
        removed=removed,
        clock_ns=lambda: NOW_NS + DAY_NS + 3 * MINUTE_NS,
    )
    history.write(RECORDS)
    history.prune()
    history.close()
    assert ids(path, "*") == [3, 4, 5, 6, 7]
    assert ids(path, "web") == []
    assert removed.value("age") == 2
    with sqlite3.connect(path) as database:
        names = {name for (name,) in database.execute("SELECT folded FROM name")}
    database.close()
    assert "web-1" not in names and "root" in names


def test_the_oldest_leave_when_the_size_is_too_much(path: Path) -> None:
    removed = counted()
    history = History(path, bounds=Bounds(bytes_max=1_000_000), removed=removed)
    for first in range(0, 12_000, 500):
        history.write(
            [record(number, guest_user=f"g{number}") for number in range(first, first + 500)]
        )
        assert history.bytes <= 1_000_000
    history.close()
    left = ids(path, "*", limit=100_000)
    assert removed.value("size") > 0
    assert left == list(range(removed.value("size"), 12_000))
    assert path.stat().st_size <= 1_100_000


def test_readers_see_commits_of_a_writer_at_work(path: Path) -> None:
    history = History(path)
    history.write(RECORDS[:1])
    assert ids(path, "web-1") == [1]
    history.write(RECORDS[1:2])
    assert ids(path, "web-10") == [2]
    history.close()


@pytest.mark.parametrize("use", ["write", "read"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("garbage", "file is not a database"),
        ("foreign", "is another program's database, left untouched"),
        ("future", "has schema 2, this hoptap knows 1"),
        ("corrupt", "malformed"),
    ],
)
def test_a_file_that_is_no_history_is_one_clear_line(
    filled: Path, content: str, reason: str, use: str
) -> None:
    spoil(filled, content)
    before = filled.read_bytes()
    with pytest.raises(HistoryError) as caught:
        if use == "write":
            history = History(filled)
            try:
                history.write([record(number, guest_user="x" * 5000) for number in range(8, 99)])
            finally:
                history.close()
        else:
            find(filled, Query("*"))
    assert str(caught.value).startswith(f"history {filled}: ")
    assert reason in str(caught.value)
    assert caught.value.final
    if content != "corrupt":
        assert filled.read_bytes() == before


def spoil(path: Path, content: str) -> None:
    if content == "garbage":
        path.write_bytes(b"no database at all" * 100)
        return
    if content == "corrupt":
        data = bytearray(path.read_bytes())
        data[4096:] = os.urandom(1) * (len(data) - 4096)
        path.write_bytes(data)
        return
    database = sqlite3.connect(path)
    database.execute(
        "PRAGMA application_id = 1" if content == "foreign" else "PRAGMA user_version = 2"
    )
    database.execute("PRAGMA journal_mode = DELETE")
    database.close()


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=f"history {tmp_path}/none.db: No such file"):
        find(tmp_path / "none.db", Query("*"))
    with pytest.raises(HistoryError, match=f"history {tmp_path}: Is a directory"):
        History(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.mark.root
def test_a_full_disk_fails_a_batch_whole_and_passes(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 1_700_000)
    history = History(small_disk / "history.db")
    history.write(RECORDS)
    big = [record(number, guest_user=f"{number}" + "x" * 5000) for number in range(100, 130)]
    with pytest.raises(HistoryError, match="disk is full") as caught:
        history.write(big)
    assert not caught.value.final
    assert caught.value.written == 0
    ballast.unlink()
    history.write(big)
    history.close()
    assert ids(small_disk / "history.db", "*") == [*range(1, 8), *range(100, 130)]


@pytest.mark.root
def test_a_reader_without_rights_on_the_directory_reads() -> None:
    """An auditor in the sensor's group may read, and leaves no files behind."""
    with TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        path = Path(directory, "history.db")
        history = History(path)
        history.write(RECORDS)
        history.close()
        path.chmod(0o644)
        program = (
            "import os, sys; from pathlib import Path; from sensor.history import *;"
            "os.setgroups([]); os.setuid(65534);"
            "print(len(find(Path(sys.argv[1]), Query('root'))))"
        )
        command = [sys.executable, "-c", program, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (done.stdout, done.stderr) == ("1\n", "")
        assert os.listdir(directory) == ["history.db"]


def test_names_of_what_an_action_made() -> None:
    """Who created a machine is asked by the machine's name, not by its folder's."""
    body = {"target": {"id": "ha-folder-vm"}, "extra": {"related": "web-01, [LocalDS_0]"}}
    assert {"ha-folder-vm", "web-01"} <= set(names_of(body))
    assert "" not in set(names_of({"target": {"id": "vm-1"}}))
