"""A line file holds whole lines only, whatever the disk, another process or a crash does."""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporters.linefile import Durability, LineFile, Rotation
from exporters.outbox import SinkError
from sensor.metrics import ExportCounts

START = b'{"n":'
NEVER = Rotation()
UNSYNCED = Durability(fsync="never")


class Clock:
    now = 1_763_730_000.0  # 2025-11-21T13:00:00Z

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> list[str]:
    return []


def line(number: int, size: int = 10) -> bytes:
    text = START + str(number).encode()
    return text + b" " * (size - len(text) - 2) + b"}\n"


def open_file(
    path: Path,
    said: list[str],
    clock: Clock | None = None,
    *,
    rotation: Rotation = NEVER,
    durability: Durability = UNSYNCED,
    append: bool = True,
    counts: ExportCounts | None = None,
) -> LineFile:
    counts = counts or ExportCounts()
    counts.start("ndjson", 1, lambda: 0)
    return LineFile(
        path,
        counts,
        "ndjson",
        line_start=START,
        report=said.append,
        append=append,
        rotation=rotation,
        durability=durability,
        clock=clock or Clock(),
    )


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_lines_are_appended_to_what_is_there(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "hop.ndjson"
    for number in (1, 2):
        file = open_file(path, said)
        file.write([line(number)])
        file.close()
    assert path.read_bytes() == line(1) + line(2)
    assert path.stat().st_mode & 0o777 == 0o640 & ~_umask()
    assert said == []


def test_without_append_the_file_begins_anew(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "hop.ndjson"
    path.write_bytes(b"something else")
    file = open_file(path, said, append=False)
    file.write([line(1)])
    file.close()
    assert path.read_bytes() == line(1)


def test_a_full_file_is_rotated_between_lines(
    tmp_path: Path, said: list[str], clock: Clock
) -> None:
    counts = ExportCounts()
    file = open_file(
        tmp_path / "hop.ndjson", said, clock, rotation=Rotation(bytes=25), counts=counts
    )
    file.write([line(number) for number in range(5)])
    file.close()
    assert contents(tmp_path) == {
        "hop-20251121T130000Z-1.ndjson": line(2) + line(3),
        "hop-20251121T130000Z.ndjson": line(0) + line(1),
        "hop.ndjson": line(4),
    }
    assert counts.rotations.value("ndjson") == 2
    assert counts.bytes.value("ndjson") == 50


def test_a_line_longer_than_the_bound_has_a_file_of_its_own(
    tmp_path: Path, said: list[str], clock: Clock
) -> None:
    file = open_file(tmp_path / "hop.ndjson", said, clock, rotation=Rotation(bytes=25))
    file.write([line(1), line(2, 40), line(3)])
    file.close()
    assert list(contents(tmp_path).values()) == [line(2, 40), line(1), line(3)]


def test_only_so_many_rotated_files_stay_and_no_other_file_goes(
    tmp_path: Path, said: list[str], clock: Clock
) -> None:
    (tmp_path / "hop-notes.ndjson").write_bytes(b"mine")
    (tmp_path / "other-20251121T130000Z.ndjson").write_bytes(b"mine")
    file = open_file(
        tmp_path / "hop.ndjson", said, clock, rotation=Rotation(bytes=10, keep_files=2)
    )
    for number in range(13):
        clock.now += 1 if number < 2 else 0  # the rest within one second
        file.write([line(number)])
    file.close()
    assert contents(tmp_path) == {
        "hop-20251121T130002Z-10.ndjson": line(10),
        "hop-20251121T130002Z-11.ndjson": line(11),
        "hop-notes.ndjson": b"mine",
        "hop.ndjson": line(12),
        "other-20251121T130000Z.ndjson": b"mine",
    }


def test_midnight_rotates_and_an_empty_file_does_not(
    tmp_path: Path, said: list[str], clock: Clock
) -> None:
    file = open_file(tmp_path / "hop.ndjson", said, clock, rotation=Rotation(every_s=86_400))
    clock.now += 86_400
    file.tick()
    assert [*contents(tmp_path)] == ["hop.ndjson"]
    file.write([line(1)])
    clock.now += 39_599  # 23:59:59 of that day
    file.tick()
    assert [*contents(tmp_path)] == ["hop.ndjson"]
    clock.now += 1
    file.tick()
    file.close()
    assert contents(tmp_path) == {"hop-20251123T000000Z.ndjson": line(1), "hop.ndjson": b""}


def test_a_file_of_yesterday_is_rotated_at_the_next_start(
    tmp_path: Path, said: list[str], clock: Clock
) -> None:
    path = tmp_path / "hop.ndjson"
    path.write_bytes(line(1))
    os.utime(path, (clock.now, clock.now))
    clock.now += 86_400
    file = open_file(path, said, clock, rotation=Rotation(every_s=86_400))
    file.write([line(2)])
    file.close()
    assert contents(tmp_path) == {"hop-20251122T130000Z.ndjson": line(1), "hop.ndjson": line(2)}


def test_reopen_goes_on_in_a_new_file_after_a_move(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "hop.ndjson"
    file = open_file(path, said)
    file.write([line(1)])
    path.rename(tmp_path / "moved")
    file.write([line(2)])
    file.reopen()
    file.write([line(3)])
    file.reopen()  # nobody moved it: nothing changes
    file.write([line(4)])
    file.close()
    assert contents(tmp_path) == {"hop.ndjson": line(3) + line(4), "moved": line(1) + line(2)}


def test_a_rotation_after_an_untold_move_takes_nobodys_file(
    tmp_path: Path, said: list[str], clock: Clock
) -> None:
    path = tmp_path / "hop.ndjson"
    file = open_file(path, said, clock, rotation=Rotation(bytes=10))
    file.write([line(1)])
    path.rename(tmp_path / "moved")
    file.write([line(2)])
    file.close()
    assert contents(tmp_path) == {"hop.ndjson": line(2), "moved": line(1)}


def test_half_a_line_of_a_crash_is_cut_off(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "hop.ndjson"
    for tail in (line(2)[:-1], START[:2]):
        path.write_bytes(line(1) + tail)
        file = open_file(path, said)
        file.write([line(3)])
        file.close()
        assert path.read_bytes() == line(1) + line(3)
    assert said == [
        f"{path}: cut half a line of 9 bytes that a crash left",
        f"{path}: cut half a line of 2 bytes that a crash left",
    ]


def test_somebody_elses_file_is_left_untouched(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "passwd"
    path.write_bytes(b"root:x:0:0\n")
    with pytest.raises(SinkError, match="is no file of records, left untouched") as caught:
        open_file(path, said)
    assert caught.value.final
    assert path.read_bytes() == b"root:x:0:0\n"


def test_two_sensors_do_not_write_one_file(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "hop.ndjson"
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SinkError, match="another process writes it"):
            open_file(path, said)
        with pytest.raises(SinkError, match="another process writes it"):
            open_file(path, said, append=False)


def test_what_cannot_be_opened_is_named(tmp_path: Path, said: list[str]) -> None:
    with pytest.raises(SinkError) as caught:
        open_file(tmp_path / "none" / "hop.ndjson", said)
    assert str(caught.value) == f"{tmp_path}/none/hop.ndjson: No such file or directory"
    with pytest.raises(SinkError, match=f"{tmp_path}: Is a directory"):
        open_file(tmp_path, said)


def test_a_special_file_is_neither_cut_nor_rotated(said: list[str]) -> None:
    file = open_file(Path("/dev/null"), said, rotation=Rotation(bytes=10))
    file.write([line(1), line(2)])
    file.close()
    full = open_file(Path("/dev/full"), said)
    with pytest.raises(SinkError, match="/dev/full: No space left on device"):
        full.write([line(1)])
    full.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.mark.root
@pytest.mark.parametrize("size", [1000, 4096, 50_000])
def test_a_full_disk_leaves_whole_lines_and_says_how_many(
    small_disk: Path, said: list[str], size: int
) -> None:
    path = small_disk / "hop.ndjson"
    lines = [line(number, size) for number in range(100)]
    file = open_file(path, said)
    with pytest.raises(SinkError, match="No space left on device") as caught:
        file.write(lines)
    written = caught.value.written
    assert written == 65_536 // size
    assert path.read_bytes() == b"".join(lines[:written])
    with pytest.raises(SinkError) as again:
        file.write(lines[written:])
    assert again.value.written == 0
    path.rename(small_disk / "moved")
    (small_disk / "moved").unlink()  # room again
    file.reopen()
    file.write(lines[written : written + 1])
    file.close()
    assert path.read_bytes() == lines[written]


def test_a_rotation_that_fails_lets_the_file_grow(
    tmp_path: Path, said: list[str], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = ExportCounts()
    path = tmp_path / "hop.ndjson"
    file = open_file(path, said, clock, rotation=Rotation(bytes=10), counts=counts)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse)
        file.write([line(1), line(2), line(3)])
    file.close()
    assert path.read_bytes() == line(1) + line(2) + line(3)
    assert said == [f"{path}: cannot rotate: Permission denied"]
    assert counts.errors.value("ndjson") == 1


def test_lines_reach_the_disk_as_the_policy_says(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    for policy, per_write, in_all in (("never", 0, 0), ("always", 2, 3), ("interval", 0, 1)):
        synced.clear()
        file = open_file(
            tmp_path / policy, said, durability=Durability(fsync=policy, interval_s=3600)
        )
        file.write([line(1)])
        file.write([line(2)])
        assert len(synced) == per_write
        file.close()
        assert len(synced) == in_all
    synced.clear()
    file = open_file(tmp_path / "soon", said, durability=Durability(interval_s=0))
    file.write([line(1)])
    assert len(synced) == 1
    file.tick()
    assert len(synced) == 1
    file.close()


def test_a_failed_flush_is_an_error_of_lines_already_written(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    file = open_file(tmp_path / "hop.ndjson", said, durability=Durability(fsync="always"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(SinkError, match="flush to disk: Input/output error") as caught:
            file.write([line(1), line(2)])
    assert caught.value.written == 2
    file.close()


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
