"""Rings of a tap without kernel programs: a file laid out as the kernel's, and one who fills it.

sensor/core/tap_event.h has the events, Documentation/bpf/ringbuf.rst the ring.
"""

import mmap
import os
import socket
import struct
import time
from ipaddress import ip_address
from types import TracebackType
from typing import Self

PAGE = mmap.PAGESIZE
BUSY, DISCARD = 1 << 31, 1 << 30
DATA, CLOSE, SECRET, ADDRESS = 1, 2, 3, 4
WRITTEN, READ = 0, 1
UNKNOWN, CLIENT, SERVER = 0, 1, 2
DATA_BYTES_MAX = 16384
_EVENT = struct.Struct("=QQQQIIiHBBB7x")
_ADDRESS = struct.Struct("=16s16s2s2sHxx")


class Session:
    """What a traced process does on one session of its TLS library."""

    def __init__(
        self,
        ring: "FileRing",
        session: int,
        *,
        role: int = SERVER,
        pid: int = 0,
        fd: int = -1,
        tap: int = 0,
        generation: int = 1,
    ) -> None:
        self._ring = ring
        self._identity = session, generation
        self._rest = fd, tap
        self.pid = pid or os.getpid()
        self.role = role
        self.offset = [0, 0]
        self._told = [0, 0]

    def data(self, direction: int, data: bytes, time_ns: int = 0) -> None:
        for at in range(0, len(data), DATA_BYTES_MAX):
            piece = data[at : at + DATA_BYTES_MAX]
            self._put(DATA, piece, time_ns, direction, self.offset[direction])
            self.offset[direction] += len(piece)
            self._told[direction] = self.offset[direction]

    def lose(self, direction: int, size: int) -> None:
        self.offset[direction] += size

    def address(self, local: tuple[str, int], remote: tuple[str, int], time_ns: int = 0) -> None:
        ips = [ip_address(host).packed for host, _ in (local, remote)]
        ports = [struct.pack("!H", port) for _, port in (local, remote)]
        family = socket.AF_INET if len(ips[0]) == 4 else socket.AF_INET6
        self._put(ADDRESS, _ADDRESS.pack(*ips, *ports, family), time_ns)

    def close(self, time_ns: int = 0, *, totals: bool = False) -> None:
        last = struct.pack("=4Q", *self.offset, *self._told)
        self._put(CLOSE, last if totals else b"", time_ns)

    def _put(
        self, kind: int, data: bytes, time_ns: int, direction: int = 0, offset: int = 0
    ) -> None:
        fd, tap = self._rest
        head = (time_ns or time.monotonic_ns(), *self._identity, offset, self.pid, len(data))
        self._ring.put(_EVENT.pack(*head, fd, tap, kind, direction, self.role) + data)


class FileRing:
    """`fd` is for the core; `put` writes a record as a kernel program would."""

    def __init__(self, data_bytes: int = 1 << 24) -> None:
        self.data_bytes = data_bytes
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + data_bytes)
        self._map = mmap.mmap(self.fd, 2 * PAGE + data_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._map.close()
        os.close(self.fd)

    @property
    def consumed(self) -> int:
        return self._position(0)

    @property
    def produced(self) -> int:
        return self._position(PAGE)

    def put(self, record: bytes, flags: int = 0) -> None:
        """Raises BlockingIOError when the ring is full."""
        at, whole = self.produced, -(-(len(record) + 8) // 8) * 8
        if at + whole - self.consumed > self.data_bytes:
            raise BlockingIOError("the ring is full")
        self._write(at + 8, record)
        self._write(at, struct.pack("=II", len(record) | flags, 0))
        self._map[PAGE : PAGE + 8] = struct.pack("=Q", at + whole)

    def secret(self, line: bytes) -> None:
        head = (time.monotonic_ns(), 1, 1, 0, os.getpid(), len(line), -1, 0, SECRET, 0, UNKNOWN)
        self.put(_EVENT.pack(*head) + line)

    def _position(self, at: int) -> int:
        (position,) = struct.unpack_from("=Q", self._map, at)
        return int(position)

    def _write(self, position: int, data: bytes) -> None:
        at = position % self.data_bytes
        fits = min(len(data), self.data_bytes - at)
        start = 2 * PAGE
        self._map[start + at : start + at + fits] = data[:fits]
        self._map[start : start + len(data) - fits] = data[fits:]
