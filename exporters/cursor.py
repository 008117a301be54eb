"""A number on disk that only rises: up to where a spool was acknowledged.

Two slots are written in turn, so that a crash in the midst of one leaves the other. A number that
is older than it should be costs duplicates, and never a record: it is not flushed.
"""

import os
import struct
import zlib
from pathlib import Path

_SLOT = struct.Struct("<QI")
_SLOT_BYTES = 512  # a sector each: no write touches both


class Cursor:
    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        numbers = [self._read(slot) for slot in (0, 1)]
        self.number = max(numbers)
        self._slot = numbers.index(self.number)
        if os.fstat(self._file).st_size < 2 * _SLOT_BYTES:  # so that a full disk takes moves
            os.pwrite(self._file, bytes(2 * _SLOT_BYTES), 0)
            self._write()

    def move(self, number: int) -> None:
        """Raises OSError; then it has not moved on disk."""
        if number > self.number:
            self.number = number
            self._slot = 1 - self._slot
            self._write()

    def close(self) -> None:
        os.close(self._file)

    def _read(self, slot: int) -> int:
        data = os.pread(self._file, _SLOT.size, slot * _SLOT_BYTES)
        if len(data) < _SLOT.size:
            return 0
        number, checksum = _SLOT.unpack(data)
        return int(number) if checksum == zlib.crc32(data[:8]) else 0

    def _write(self) -> None:
        number = struct.pack("<Q", self.number)
        os.pwrite(self._file, _SLOT.pack(self.number, zlib.crc32(number)), self._slot * _SLOT_BYTES)
