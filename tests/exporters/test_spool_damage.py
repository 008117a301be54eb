"""A spool loses no more than what a crash, a full disk or a broken one took."""

import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporters.frames import HEAD, MAGIC, frame_of, frames_in
from exporters.outbox import SinkError
from exporters.spool import Bounds
from tests.command import ROOT
from tests.exporters.spooling import Case, drained, records

WAIT_S = 20


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path / "spool")


def test_half_a_record_of_a_crash_is_cut_off(case: Case) -> None:
    for tail in (1, HEAD.size - 1, HEAD.size, HEAD.size + 50):
        spool = case.open()
        spool.append(records(10))
        spool.close()
        [path] = case.segments()
        with path.open("ab") as file:
            file.write(frame_of(10, records(1)[0])[:tail])
        spool = case.open()
        assert case.said == [f"{path}: cut {tail} bytes of a record that a crash left"]
        spool.append(records(1, first=10))
        assert drained(spool) == list(range(11))
        spool.close()
        case.said.clear()
        (case.directory / "cursor").unlink()
    assert not case.dropped


@pytest.mark.parametrize("seed", range(20))
def test_after_a_flipped_bit_the_next_good_record_follows(case: Case, seed: int) -> None:
    case.bounds = Bounds(bytes_max=160 * 120)
    spool = case.open()
    spool.append(records(30))
    spool.close()
    chance = random.Random(seed)
    path = chance.choice(case.segments()[:-1])
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data))
    data[at] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    spool = case.open()
    found = drained(spool, records_max=4)
    [lost] = set(range(30)) - set(found)
    assert found == sorted(found)
    assert case.dropped == {"damaged": 1}
    assert case.said == [f"{path}: 1 records were damaged and are left out"]
    assert lost == int(path.stem, 16) + at // len(frame_of(0, records(1)[0]))
    spool.close()


def test_a_segment_of_garbage_and_one_that_is_gone_cost_their_records_only(case: Case) -> None:
    case.bounds = Bounds(bytes_max=160 * 120)
    spool = case.open()
    spool.append(records(100))
    spool.close()
    paths = case.segments()
    paths[1].write_bytes(os.urandom(1000))
    paths[3].unlink()
    paths[5].write_bytes(b"")
    spool = case.open()
    found = drained(spool)
    per_segment = int(paths[1].stem, 16)
    assert len(found) == 100 - 3 * per_segment
    assert case.dropped == {"damaged": 3 * per_segment}
    spool.close()


def test_a_damaged_cursor_costs_duplicates_and_no_record(case: Case) -> None:
    spool = case.open()
    spool.append(records(10))
    spool.read(5, 1 << 20)
    spool.acknowledge(2)
    spool.acknowledge(4)
    spool.close()
    cursor = case.directory / "cursor"
    whole = cursor.read_bytes()
    for damage, first in ((0, 3), (512, 5)):
        data = bytearray(whole)
        data[damage] ^= 0xFF
        cursor.write_bytes(data)
        spool = case.open()
        assert spool.read(1, 1 << 20).numbers == [first]
        spool.close()
    cursor.write_bytes(b"")
    spool = case.open()
    assert drained(spool) == list(range(10))
    spool.close()


def test_no_text_forges_a_frame() -> None:
    forged = frame_of(7, b"evil")
    assert MAGIC[:1] not in "\U0010ffff\x80ÿ".encode()
    with pytest.raises(UnicodeDecodeError):
        forged.decode()
    data = b"noise" + forged + MAGIC + b"noise" + frame_of(8, b"x")
    assert [each[:2] for each in frames_in(data, search=True)] == [(7, b"evil"), (8, b"x")]
    assert list(frames_in(data)) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.mark.root
def test_a_full_disk_takes_what_it_can_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    case = Case(small_disk / "spool", bounds=Bounds(bytes_max=640 << 10))
    spool = case.open()
    everything = records(100, size=3000)
    with pytest.raises(SinkError, match="No space left on device") as caught:
        spool.append(everything)
    written = caught.value.written
    assert 20 <= written < 45
    with pytest.raises(SinkError) as again:
        spool.append(everything[written:])
    assert again.value.written == 0
    batch = spool.read(13, 1 << 20)
    assert batch.numbers == list(range(13))
    spool.acknowledge(12)  # the cursor moves on a full disk, too, and what it passed makes room
    spool.append(everything[written : written + 5])
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    spool.append(everything[written + 5 :])
    assert drained(spool) == list(range(13, 100))
    spool.close()
    assert not case.dropped


LIMITED = """
import resource, signal, sys
from pathlib import Path
from exporters.spool import Bounds, Spool
from exporters.linefile import Durability
from exporters.outbox import SinkError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
spool = Spool(Path(sys.argv[1]), bounds=Bounds(), durability=Durability("always"), report=print,
              dropped=print)
try:
    for number in range(1000):
        spool.append([b"%d " % number + bytes(90)])
except SinkError as error:
    print(number, error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.append([b"%d " % number + bytes(90)])
spool.close()
"""


def test_a_write_that_stops_half_way_leaves_no_half_record(case: Case) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, case.directory],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 5000
    assert done.returncode == 0, done.stderr
    failed = int(done.stdout.split()[0])
    assert done.stdout == f"{failed} spool {case.directory}: File too large\n"
    spool = case.open()
    assert drained(spool) == list(range(failed + 1))
    spool.close()
    assert case.said == []


KILLED = """
import sys
from pathlib import Path
from exporters.spool import Bounds, Spool
from exporters.linefile import Durability
spool = Spool(Path(sys.argv[1]), bounds=Bounds(bytes_max=1 << 20), durability=Durability("never"),
              report=print, dropped=print)
number = 0
while number < 100_000:
    spool.append([b"%d " % each for each in range(number, number + 7)])
    number += 7
    print(number, flush=True)
"""


def test_what_it_took_survives_the_end_of_the_process(case: Case) -> None:
    taken = 0
    for _ in range(3):
        (case.directory / "cursor").unlink(missing_ok=True)
        for path in case.segments():
            path.unlink()
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, case.directory], cwd=ROOT, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(50)]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.read().splitlines()
        taken = int([each for each in lines if each.strip()][-1])
        spool = case.open()
        found = drained(spool)
        spool.close()
        assert found == list(range(len(found)))
        assert len(found) >= taken > 300
