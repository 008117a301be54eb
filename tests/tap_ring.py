"""Taps of tests, and the ring that they write: read as the core does, only slower."""

import mmap
import os
import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from sensor.bpf import Mode, Tap

DATA, CLOSE, SECRET, ADDRESS, TOTALS = 1, 2, 3, 4, 5  # enum tap_kind
WRITTEN, READ = 0, 1  # enum tap_direction
UNKNOWN, CLIENT, SERVER = 0, 1, 2  # enum tap_role
_EVENT = struct.Struct("=QQQQIIiHBBBB6x")
_BUSY, _DISCARDED = 1 << 31, 1 << 30  # BPF_RINGBUF_BUSY_BIT and _DISCARD_BIT
_HEADER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Event:
    time_ns: int
    session: int
    generation: int
    offset: int
    pid: int
    size: int
    fd: int
    tap: int
    kind: int
    direction: int
    role: int
    late: int
    data: bytes


class Ring:
    def __init__(self, fd: int, ring_bytes: int) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        self._page, self._bytes = page, ring_bytes
        self._consumer = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._producer = mmap.mmap(
            fd, page + 2 * ring_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()
        self._producer.close()

    def events(self) -> Iterator[Event]:
        """What is there now."""
        (at,) = struct.unpack_from("=Q", self._consumer)
        while at < struct.unpack_from("=Q", self._producer)[0]:
            start = self._page + at % self._bytes
            (length,) = struct.unpack_from("=I", self._producer, start)
            if length & _BUSY:
                return
            size = length & ~_DISCARDED
            if not length & _DISCARDED:
                yield _event(self._producer[start + _HEADER_BYTES : start + _HEADER_BYTES + size])
            at += (_HEADER_BYTES + size + 7) // 8 * 8
            struct.pack_into("=Q", self._consumer, 0, at)


def _event(record: bytes) -> Event:
    fields = _EVENT.unpack_from(record)
    data = record[_EVENT.size : _EVENT.size + fields[5]]
    assert len(data) == fields[5], "an event longer than its record"
    return Event(*[*fields, data])


class Heard:
    """Everything that taps put into the ring, by the tap's number."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._events: dict[int, list[Event]] = defaultdict(list)

    def of(self, tap: Tap) -> list[Event]:
        for event in self._ring.events():
            self._events[event.tap].append(event)
        return self._events[tap.number]

    def streams(self, tap: Tap) -> dict[tuple[int, int, int], tuple[bytes, bytes]]:
        """(pid, session, generation) -> written and read bytes, which have no gap."""
        streams: dict[tuple[int, int, int], tuple[bytearray, bytearray]] = {}
        for event in self.of(tap):
            if event.kind != DATA:
                continue
            key = event.pid, event.session, event.generation
            stream = streams.setdefault(key, (bytearray(), bytearray()))[event.direction]
            assert event.offset == len(stream), "a gap"
            stream += event.data
        return {key: (bytes(both[0]), bytes(both[1])) for key, both in streams.items()}

    def said(self, tap: Tap) -> list[tuple[bytes, bytes]]:
        return sorted(self.streams(tap).values())


_numbers = iter(range(1, 63))


@contextmanager
def opened(target: object, mode: Mode = "plaintext", machine_wide: bool = False) -> Iterator[Tap]:
    tap = Tap(next(_numbers), str(target), mode, machine_wide)
    tap.open()
    try:
        yield tap
    finally:
        tap.close()


def lossless(tap: Tap) -> bool:
    return not any(tap.losses().values())
