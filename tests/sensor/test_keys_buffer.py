"""Lines on their way to the core: whole, once, whatever the split; and nothing of them stays."""

import ctypes
import mmap
import random
from pathlib import Path

import pytest

from sensor.keybuffer import BUFFER_BYTES, Lines, LockedMemory, Tally

TEXT = b"CLIENT_RANDOM 00 11\n\n# a comment\r\nx\nSERVER_TRAFFIC_SECRET_0 22 33\n"


class Taken:
    """Takes lines as a core does, which may have no room."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.has_room = True

    def __call__(self, lines: memoryview) -> bool:
        if self.has_room:
            self.parts.append(bytes(lines))
        return self.has_room

    @property
    def text(self) -> bytes:
        return b"".join(self.parts)


def fill(lines: Lines, content: bytes) -> None:
    with lines.room() as room:
        room[: len(content)] = content
    lines.add(len(content))


def pieces(content: bytes, how: str) -> list[bytes]:
    if how == "whole":
        return [content]
    if how == "bytes":
        return [content[at : at + 1] for at in range(len(content))]
    chance = random.Random(how)
    cuts = sorted(chance.sample(range(1, len(content)), 7))
    return [content[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]


@pytest.mark.parametrize("how", ["whole", "bytes", "1", "2", "3"])
def test_lines_are_whole_and_come_once(how: str) -> None:
    taken, tally = Taken(), Tally()
    lines = Lines(taken, tally)
    for piece in pieces(TEXT, how):
        fill(lines, piece)
        assert lines.flush()
    assert taken.text == TEXT
    assert all(part.endswith(b"\n") for part in taken.parts)
    assert tally == Tally(read_bytes=len(TEXT))
    lines.close()


def test_what_is_unfinished_waits_for_its_end() -> None:
    taken = Taken()
    lines = Lines(taken, Tally())
    fill(lines, b"one\ntwo")
    assert lines.flush() and taken.text == b"one\n"
    fill(lines, b" and a half")
    assert lines.flush() and taken.text == b"one\n"
    assert lines.end() and taken.text == b"one\ntwo and a half"
    assert lines.end() and len(taken.parts) == 2  # nothing is left
    lines.close()


def test_without_room_nothing_is_lost() -> None:
    taken = Taken()
    lines = Lines(taken, Tally())
    taken.has_room = False
    fill(lines, b"one\ntwo\nth")
    assert not lines.flush() and not lines.end()
    taken.has_room = True
    fill(lines, b"ree\n")
    assert lines.flush() and taken.text == b"one\ntwo\nthree\n"
    lines.close()


@pytest.mark.parametrize("piece_bytes", [BUFFER_BYTES, 4096, 1000])
@pytest.mark.parametrize("over", [0, 1, BUFFER_BYTES])
def test_a_line_that_does_not_fit_is_skipped_to_its_end(piece_bytes: int, over: int) -> None:
    taken, tally = Taken(), Tally()
    lines = Lines(taken, tally)
    content = b"before\n" + b"x" * (BUFFER_BYTES + over) + b"\nafter\n"
    while content:
        with lines.room() as room:
            size = min(len(room), piece_bytes)
        fill(lines, content[:size])
        content = content[size:]
        assert lines.flush()
    assert taken.text == b"before\nafter\n"
    assert tally.overlong_lines == 1
    lines.close()


def test_a_byte_can_stand_for_line_ends() -> None:
    taken = Taken()
    lines = Lines(taken, Tally())
    fill(lines, b"|one||two|\nthree|")
    lines.replace(ord("|"), ord("\n"))
    assert lines.end() and taken.text == b"\none\n\ntwo\n\nthree\n"
    lines.close()


def test_nothing_stays_in_the_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[LockedMemory] = []

    class Seen(LockedMemory):
        def __init__(self, size_bytes: int = BUFFER_BYTES) -> None:
            super().__init__(size_bytes)
            made.append(self)

    monkeypatch.setattr("sensor.keybuffer.LockedMemory", Seen)
    lines = Lines(Taken(), Tally())
    [memory] = made
    fill(lines, b"secret one\nsecret two")
    assert lines.flush()
    assert memory.map[:] == b"secret two".ljust(BUFFER_BYTES, b"\0")
    fill(lines, b"\n")
    assert lines.flush() and not any(memory.map[:])
    fill(lines, b"secret three")
    assert lines.drop() == 12 and not any(memory.map[:])
    lines.close()
    lines.close()
    assert memory.map.closed


def test_the_memory_stays_out_of_swap_core_files_and_children() -> None:
    memory = LockedMemory(16 * mmap.PAGESIZE)
    marker = b"here it is"
    memory.map[: len(marker)] = marker
    flags = _flags_of(memory)
    assert {"dd", "dc"} <= flags  # MADV_DONTDUMP, MADV_DONTFORK
    assert ("lo" in flags) is memory.is_locked
    memory.close()


def _flags_of(memory: LockedMemory) -> set[str]:
    """VmFlags of the mapping, as proc_pid_smaps(5) names them."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory.map))
    within = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            start, end = (int(part, 16) for part in first.split("-"))
            within = start <= address < end
        elif within and first == "VmFlags:":
            return set(line.split()[1:])
    raise AssertionError("no such mapping")
