"""The files of a spool, and reading records out of them, past what is damaged."""

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exporters.frames import frames_in

READ_BYTES_MIN = 64 << 10
RECORD_BYTES = 2048  # roughly, for how much to read ahead


@dataclass(frozen=True, slots=True)
class Batch:
    """Records as they were appended, with their numbers, which rise."""

    records: list[bytes]
    numbers: list[int]


@dataclass(slots=True)
class Segment:
    path: Path
    first: int  # number of its first record
    end: int  # number after its last
    bytes: int
    begun_s: float
    newest_s: float


def segments_in(directory: Path) -> Iterator[tuple[int, Path]]:
    """The number of each one's first record."""
    for path in directory.iterdir():
        found = re.fullmatch(r"([0-9a-f]{16})\.seg", path.name)
        if found:
            yield int(found[1], 16), path


def cut_unfinished(path: Path, first: int) -> tuple[int, int]:
    """Of a last segment, what a crash left unfinished; number after its last record, bytes cut."""
    data = path.read_bytes()
    next_number, end = first, 0
    for number, _, end in frames_in(data, search=True):  # noqa: B007 - the last one's end
        next_number = number + 1
    if end < len(data):
        os.truncate(path, end)
    return next_number, len(data) - end


class Reader:
    """Goes through segments, record by record; `next` is the number that it awaits."""

    def __init__(self, next_number: int) -> None:
        self.next = next_number
        self._path: Path | None = None  # of the segment that is open
        self._file = -1
        self._at = 0

    def skip(self, segment: Segment) -> None:
        """Done with this segment, or it is going."""
        self.next = max(self.next, segment.end)
        if self._path == segment.path:
            self.close()

    def read(self, segment: Segment, records_max: int, bytes_max: int) -> tuple[Batch, int]:
        """Records of this segment from the awaited one on, and how many there were before them.

        An empty batch when none is left that is whole, or when it went through older ones. Raises
        OSError when the file may be readable later.
        """
        try:
            self._open(segment.path)
            batch, used = self._read_on(records_max, bytes_max)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EIO):
                raise
            batch, used = Batch([], []), 0
        if not used:
            lost = segment.end - self.next
            self.skip(segment)
            return batch, lost
        self._at += used
        if not batch.numbers:
            return batch, 0
        lost = batch.numbers[-1] + 1 - self.next - len(batch.numbers)
        self.next = batch.numbers[-1] + 1
        return batch, lost

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._path, self._file, self._at = None, -1, 0

    def _open(self, path: Path) -> None:
        if self._path != path:
            self.close()
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._path = path

    def _read_on(self, records_max: int, bytes_max: int) -> tuple[Batch, int]:
        wanted = max(READ_BYTES_MIN, min(bytes_max, records_max * RECORD_BYTES))
        data = os.pread(self._file, wanted, self._at)
        batch, used = self._taken(data, records_max, bytes_max)
        if used or not data:
            return batch, used
        rest = os.fstat(self._file).st_size - self._at  # it is long, or damaged
        return self._taken(os.pread(self._file, rest, self._at), records_max, bytes_max, True)

    def _taken(
        self, data: bytes, records_max: int, bytes_max: int, search: bool = False
    ) -> tuple[Batch, int]:
        """Records from the awaited one on, and how many bytes were gone through."""
        batch = Batch([], [])
        used = size = 0
        for number, record, end in frames_in(data, search=search):
            if number >= self.next:
                size += len(record)
                if batch.records and size > bytes_max:
                    break
                batch.records.append(record)
                batch.numbers.append(number)
            used = end
            if len(batch.records) == records_max:
                break
        return batch, used
