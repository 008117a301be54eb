"""A key log on disk: followed as it grows, is cut and rotated; each line once, none lost."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sensor.keybuffer import BUFFER_BYTES
from sensor.keylog import RETIRED_MAX, RETIRED_QUIET_S, TURN_BYTES, KeyLog, read_whole
from tests.sensor.test_keys_buffer import Taken


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Followed:
    """A key log in a directory, and what came out of it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "keys.log"
        self.taken = Taken()
        self.clock = Clock()
        self.log = KeyLog(str(self.path), self.taken, clock_s=self.clock)

    def append(self, text: bytes, path: Path | None = None) -> None:
        with (path or self.path).open("ab") as file:
            file.write(text)

    def read(self) -> bytes:
        """What came since the last time."""
        while self.log.poll():
            pass
        text = self.taken.text
        self.taken.parts.clear()
        return text


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Followed]:
    followed = Followed(tmp_path)
    yield followed
    followed.log.close()


def test_a_log_is_read_from_its_beginning_and_then_as_it_grows(followed: Followed) -> None:
    followed.append(b"one\ntwo\nth")
    assert followed.read() == b"one\ntwo\n"
    assert followed.read() == b""
    followed.append(b"ree")
    assert followed.read() == b""
    followed.append(b"\nfour\n")
    assert followed.read() == b"three\nfour\n"


def test_a_log_that_is_not_there_is_awaited(followed: Followed) -> None:
    assert followed.read() == b"" and followed.log.problem == ""
    followed.append(b"one\n")
    assert followed.read() == b"one\n"
    followed.path.unlink()
    assert followed.read() == b"" and followed.log.problem == ""
    followed.append(b"two\n")  # another file
    assert followed.read() == b"two\n"
    assert followed.log.tally.rotations == 1


def test_rotation_while_it_is_written(followed: Followed) -> None:
    """The writer goes on with the renamed file until it opens the new one."""
    old = followed.path.with_suffix(".1")
    followed.append(b"one\ntw")
    assert followed.read() == b"one\n"
    followed.path.rename(old)
    followed.append(b"o\nthree\n", old)
    assert followed.read() == b"two\nthree\n"
    followed.append(b"five\n")
    followed.append(b"four\nla", old)
    assert followed.read() == b"four\nfive\n"
    followed.append(b"six\n")
    followed.append(b"te\n", old)
    assert followed.read() == b"late\nsix\n"
    assert followed.log.tally.rotations == 1
    assert followed.log.tally.truncations == 0


def test_rotation_under_a_writer_that_never_pauses(followed: Followed) -> None:
    """Renamed and replaced again and again by another thread: every line comes, in whole, once."""
    lines = [b"line %06d %s\n" % (number, b"x" * (number % 200)) for number in range(20_000)]
    stop = threading.Event()

    def write() -> None:
        for number, line in enumerate(lines):
            if number % 2500 == 0 and number:
                followed.path.rename(followed.path.with_suffix(f".{number}"))
            followed.append(line[:9])
            followed.append(line[9:])
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    text = b""
    while not stop.is_set():
        text += followed.read()
    writer.join()
    text += followed.read()
    assert sorted(text.splitlines(keepends=True)) == lines


def test_a_rotated_file_is_let_go_once_it_is_quiet(followed: Followed) -> None:
    old = followed.path.with_suffix(".1")
    followed.append(b"one\n")
    followed.read()
    followed.path.rename(old)
    followed.append(b"two\n")
    assert followed.read() == b"two\n"
    followed.clock.now_s += RETIRED_QUIET_S - 1
    followed.append(b"three\n", old)
    assert followed.read() == b"three\n"  # its time begins anew
    followed.clock.now_s += RETIRED_QUIET_S - 1
    followed.append(b"four\n", old)
    assert followed.read() == b"four\n"
    followed.clock.now_s += RETIRED_QUIET_S + 1
    assert followed.read() == b""
    followed.append(b"five\n", old)
    assert followed.read() == b""


def test_rotations_in_haste_keep_few_files_open(followed: Followed) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(RETIRED_MAX * 3):
        followed.append(b"%d\n" % number)
        assert followed.read() == b"%d\n" % number
        followed.path.rename(followed.path.with_suffix(f".{number}"))
    assert len(os.listdir("/proc/self/fd")) - before <= RETIRED_MAX + 1


def test_a_log_begun_anew_is_read_from_its_beginning(followed: Followed) -> None:
    followed.append(b"one\ntwo\nunfinished")
    assert followed.read() == b"one\ntwo\n"
    os.truncate(followed.path, 0)
    assert followed.read() == b""
    followed.append(b"three\n")
    assert followed.read() == b"three\n"
    assert followed.log.tally.truncations == 1


def test_a_log_replaced_by_something_else_is_a_problem_that_passes(followed: Followed) -> None:
    followed.append(b"one\n")
    assert followed.read() == b"one\n"
    followed.path.unlink()
    followed.path.mkdir()
    for _ in range(3):
        assert followed.read() == b"" and followed.log.problem == "is no file"
    assert followed.log.tally.errors == 1
    followed.path.rmdir()
    os.mkfifo(followed.path)
    assert followed.read() == b"" and followed.log.problem == "is no file"
    followed.path.unlink()
    followed.append(b"two\n")
    assert followed.read() == b"two\n" and followed.log.problem == ""


def test_a_log_waits_for_a_core_without_room(followed: Followed) -> None:
    followed.taken.has_room = False
    content = b"".join(b"line %07d\n" % number for number in range(BUFFER_BYTES // 4))
    followed.append(content)
    assert followed.read() == b""
    followed.taken.has_room = True
    assert followed.read() == content
    assert followed.log.tally.shed_bytes == 0


def test_a_long_log_leaves_other_inputs_their_turn(followed: Followed) -> None:
    content = (b"x" * 199 + b"\n") * (2 * TURN_BYTES // 200)
    followed.append(content)
    followed.log.poll()  # finds the file, and takes its first turn
    assert len(followed.taken.text) <= TURN_BYTES + BUFFER_BYTES
    assert len(followed.taken.text) + len(followed.read()) > len(content) - 200


def test_a_replay_reads_a_log_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    path.write_bytes(b"one\n" * 50_000 + b"last")
    taken = Taken()
    assert read_whole(str(path), taken).read_bytes == 200_004
    assert taken.text == path.read_bytes()


def test_a_replay_reads_a_pipe_to_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    taken = Taken()
    writer = threading.Thread(target=pipe.write_bytes, args=(b"one\n" * 50_000 + b"last",))
    writer.start()
    read_whole(str(pipe), taken)
    writer.join()
    assert taken.text == b"one\n" * 50_000 + b"last"


def test_a_replay_does_not_drop_what_has_no_room(tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    path.write_bytes(b"one\n")
    taken = Taken()
    taken.has_room = False
    with pytest.raises(OSError, match="more keys than there is room for"):
        read_whole(str(path), taken)
