"""A spool gives back what it took, in order and within its bounds."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.frames import HEAD
from exporters.outbox import SinkError
from exporters.spool import Bounds
from tests.exporters.spooling import Case, drained, numbers, records

WAIT_S = 20


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path / "spool")


def test_records_come_back_in_order_and_leave_when_acknowledged(case: Case) -> None:
    spool = case.open()
    spool.append(records(1000))
    assert spool.waiting == 1000
    first = spool.read(300, 1 << 20)
    assert numbers(first.records) == first.numbers == list(range(300))
    assert numbers(spool.read(1000, 5 * 100).records) == list(range(300, 305))
    assert spool.waiting == 1000
    spool.acknowledge(304)
    assert spool.waiting == 695
    assert spool.read(10_000, 1 << 30).numbers == list(range(305, 1000))
    assert spool.read(1, 1).records == []
    spool.acknowledge(999)
    assert (spool.waiting, spool.size_bytes) == (0, 0)
    spool.tick()
    assert case.segments() == []
    spool.close()
    assert case.said == [] and not case.dropped


def test_what_was_not_acknowledged_is_read_again_after_a_restart(case: Case) -> None:
    spool = case.open()
    spool.append(records(100))
    spool.read(50, 1 << 20)
    spool.acknowledge(29)
    spool.close()
    spool = case.open()
    spool.append(records(5, first=100))
    assert drained(spool) == list(range(30, 105))
    spool.close()
    spool = case.open()
    assert spool.read(10, 1 << 20).records == []
    spool.append(records(1, first=105))
    assert spool.read(10, 1 << 20).numbers == [105]  # numbers go on, also when nothing is left
    spool.close()


@pytest.mark.parametrize("records_max", [1, 7, 100, 5000])
@pytest.mark.parametrize("size", [10, 3000, 200_000])
def test_records_of_any_size_go_through_many_segments(
    case: Case, size: int, records_max: int
) -> None:
    case.bounds = Bounds(bytes_max=160 * (size + HEAD.size))  # ten records to a segment
    spool = case.open()
    spool.append(records(100, size=size))
    assert len(case.segments()) == 10
    found: list[int] = []
    while batch := spool.read(records_max, 1 << 20).records:
        assert all(len(each) == size for each in batch)
        found += numbers(batch)
    assert found == list(range(100))
    spool.acknowledge(found[-1])
    spool.close()
    assert case.segments() == []


def test_a_record_may_be_larger_than_a_segment(case: Case) -> None:
    case.bounds = Bounds(bytes_max=16_000)
    spool = case.open()
    spool.append([*records(100), b"100 " + bytes(9000), *records(2, first=101)])
    found = drained(spool)  # it made room for itself
    assert found == list(range(found[0], 103))
    assert case.dropped == {"size": found[0]}
    assert found[0] > 40
    spool.close()


def test_beyond_its_size_the_oldest_go_and_are_counted(case: Case) -> None:
    case.bounds = Bounds(bytes_max=16_000)
    spool = case.open()
    for first in range(0, 1000, 10):
        spool.append(records(10, first))
        assert sum(path.stat().st_size for path in case.segments()) <= 16_000
    found = drained(spool)
    assert found == list(range(found[0], 1000))
    assert case.dropped == {"size": found[0]}
    assert 900 > found[0] > 800
    spool.close()


def test_beyond_its_age_the_oldest_go_and_are_counted(case: Case) -> None:
    case.bounds = Bounds(age_max_s=1600)
    spool = case.open()
    for first in range(0, 40):
        spool.append(records(1, first))
        case.now_s += 100
    spool.tick()
    found = drained(spool)
    assert found == list(range(found[0], 40))
    assert case.dropped == {"age": found[0]}
    assert 20 <= found[0] <= 25
    spool.append(records(1, first=40))
    case.now_s += 1700
    spool.tick()  # also the last one, when nothing comes
    assert case.segments() == []
    assert spool.waiting == 0
    spool.close()


def test_what_is_on_its_way_is_not_dropped(case: Case) -> None:
    case.bounds = Bounds(bytes_max=16_000)
    spool = case.open()
    spool.append(records(100))
    sent = spool.read(20, 1 << 20)
    spool.append(records(200, first=100))  # drops the segments of those, and of more
    dropped = case.dropped["size"]
    assert dropped > 0
    spool.acknowledge(sent.numbers[-1])
    assert drained(spool) == list(range(len(sent.numbers) + dropped, 300))
    spool.close()
    assert case.dropped == {"size": dropped}


def test_what_is_on_its_way_when_it_is_dropped_counts_unless_it_arrives(case: Case) -> None:
    case.bounds = Bounds(bytes_max=16_000)
    spool = case.open()
    spool.append(records(100))
    assert spool.read(5, 1 << 20).numbers == [0, 1, 2, 3, 4]
    spool.acknowledge(1)
    spool.append(records(200, first=100))
    spool.close()
    spool = case.open()
    first = spool.read(1, 1).numbers[0]
    assert case.dropped == {"size": first - 2}
    spool.close()


def test_two_processes_do_not_share_a_spool(case: Case) -> None:
    spool = case.open()
    with pytest.raises(SinkError, match="another process has it") as caught:
        case.open()
    assert caught.value.final
    spool.close()
    case.open().close()
    for path in case.directory.iterdir():
        assert path.stat().st_mode & 0o077 == 0
    assert case.directory.stat().st_mode & 0o077 == 0


def test_what_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    case = Case(tmp_path / "file" / "spool")
    with pytest.raises(SinkError, match=f"spool {case.directory}: Not a directory"):
        case.open()


def test_a_reader_waits_for_records_and_is_woken(case: Case) -> None:
    spool = case.open()
    waiting, woken = threading.Event(), threading.Event()

    def read() -> None:
        waiting.set()
        spool.wait(WAIT_S)
        woken.set()

    wakes: tuple[Callable[[], None], ...] = (lambda: spool.append(records(1)), spool.wake)
    for wake in wakes:
        spool.read(10, 1 << 20)
        thread = threading.Thread(target=read)
        thread.start()
        assert waiting.wait(WAIT_S) and not woken.is_set()
        wake()
        assert woken.wait(WAIT_S / 2)
        thread.join()
        waiting.clear()
        woken.clear()
    spool.wake()  # before it waits
    begun = time.monotonic()
    spool.wait(WAIT_S)
    assert time.monotonic() - begun < WAIT_S / 2
    spool.close()


@pytest.mark.parametrize(("fsync", "synced"), [("never", 0), ("interval", 2), ("always", 3)])
def test_records_reach_the_disk_as_the_policy_says(
    case: Case, fsync: str, synced: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fdatasync", flushed.append)
    case.fsync = fsync
    spool = case.open()
    spool.append(records(1))
    spool.append(records(1, first=1))
    spool.close()
    assert len(flushed) >= synced if synced else not flushed
