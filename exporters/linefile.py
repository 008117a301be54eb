"""A file of lines that rotates by size and time, reopens when moved away, and reaches the disk.

Invariant: the file holds whole lines only. A line that could not be written whole is cut off again.
"""

import fcntl
import os
import re
import stat
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path

from exporters.outbox import SinkError
from sensor.metrics import ExportCounts

FILE_MODE = 0o640  # the group may ship the file; others may not read user names
TAIL_BYTES = 1 << 20  # more than any line
ROTATE_AGAIN_S = 60.0  # after a failed rotation


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a file has had enough, and how many earlier ones stay. 0: never, all.

    `every_s` counts from the epoch: 86400 rotates at midnight UTC.
    """

    bytes: int = 0
    every_s: int = 0
    keep_files: int = 0


@dataclass(frozen=True, slots=True)
class Durability:
    """When written lines must have reached the disk."""

    fsync: str = "interval"  # never | interval | always
    interval_s: float = 1.0


class LineFile:
    """An append-only file of lines; one process holds it (flock).

    A rotated file is named by the time of its rotation, NAME-20261121T140000Z.SUFFIX. A special
    file (a pipe, /dev/null) is written to and neither rotated nor cut.
    """

    def __init__(
        self,
        path: Path,
        counts: ExportCounts,
        output: str,
        *,
        line_start: bytes,
        report: Callable[[str], None],
        append: bool = True,
        rotation: Rotation = Rotation(),
        durability: Durability = Durability(),
        preamble: bytes = b"",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`preamble`: whole lines at the head of every file."""
        self._path = path
        self._counts = counts
        self._output = output
        self._line_start = line_start
        self._report = report
        self._rotation = rotation
        self._durability = durability
        self._preamble = preamble
        self._clock = clock
        self._descriptor = -1  # -1: to be opened before the next write
        self._regular = True
        self._bytes = 0
        self._period = 0
        self._unsynced_since: float | None = None
        self._rotate_not_before = 0.0
        self._open(truncate=not append)

    def write(self, lines: Sequence[bytes]) -> None:
        """All lines, or SinkError with how many are in the file."""
        written = 0
        try:
            while written < len(lines):
                self._make_room(len(lines[written]))
                group = lines[written : written + self._fitting(lines[written:])]
                self._append(group)
                written += len(group)
            self._sync_if_due()
        except SinkError as error:
            error.written += written
            raise

    def tick(self) -> None:
        self._make_room(0)
        self._sync_if_due()

    def reopen(self) -> None:
        """The path may name another file now, or none: go on in that one."""
        if self._descriptor >= 0 and self._is_named():
            return
        self.close()
        self._open()

    def close(self) -> None:
        try:
            self._sync()
        finally:
            self._release()

    def _make_room(self, line_bytes: int) -> None:
        """Open what is closed, and begin a new file when the present one has had enough."""
        if self._descriptor < 0:
            self._open()
        if not self._regular or not self._bytes:
            self._period = self._now_period()  # that of the first line counts
            return
        full = self._rotation.bytes and self._bytes + line_bytes > self._rotation.bytes
        due = full or self._now_period() > self._period
        if due and time.monotonic() >= self._rotate_not_before:
            self._rotate()

    def _fitting(self, lines: Sequence[bytes]) -> int:
        """How many of these lines go into the present file: one at least."""
        if not self._regular or not self._rotation.bytes:
            return len(lines)
        ends = list(accumulate(map(len, lines)))
        return max(1, bisect_right(ends, self._rotation.bytes - self._bytes))

    def _append(self, lines: Sequence[bytes]) -> None:
        if self._preamble and not self._bytes:
            self._write([self._preamble])
        self._write(lines)

    def _write(self, lines: Sequence[bytes]) -> None:
        data = memoryview(b"".join(lines))
        done = 0
        try:
            while done < len(data):
                done += os.write(self._descriptor, data[done:])
        except OSError as error:
            ends = list(accumulate(map(len, lines)))
            whole = bisect_right(ends, done)
            self._cut(done - (ends[whole - 1] if whole else 0))
            self._took(ends[whole - 1] if whole else 0)
            raise SinkError(f"{self._path}: {error.strerror}", written=whole) from None
        self._took(done)

    def _took(self, count: int) -> None:
        self._bytes += count
        self._counts.bytes.add(self._output, by=count)
        if count and self._unsynced_since is None:
            self._unsynced_since = time.monotonic()

    def _cut(self, partial_bytes: int) -> None:
        """Take the beginning of an unfinished line back."""
        if self._regular and partial_bytes:
            size = os.fstat(self._descriptor).st_size
            os.ftruncate(self._descriptor, size - partial_bytes)

    def _sync_if_due(self) -> None:
        if self._unsynced_since is None or self._durability.fsync == "never":
            return
        age_s = time.monotonic() - self._unsynced_since
        if self._durability.fsync == "always" or age_s >= self._durability.interval_s:
            self._sync()

    def _sync(self) -> None:
        if not self._regular or self._descriptor < 0 or self._durability.fsync == "never":
            return
        self._unsynced_since = None  # after a failure the kernel has dropped the pages: once is all
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise SinkError(f"{self._path}: flush to disk: {error.strerror}") from None

    def _open(self, *, truncate: bool = False) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._path, flags, FILE_MODE)
            status = os.fstat(self._descriptor)
            self._regular = stat.S_ISREG(status.st_mode)
            self._bytes = status.st_size
            if self._regular:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._begin(status.st_mtime, truncate)
        except SinkError:
            self._release()
            raise
        except BlockingIOError:
            self._release()
            raise SinkError(f"{self._path}: another process writes it", final=True) from None
        except OSError as error:
            self._release()
            raise SinkError(f"{self._path}: {error.strerror}") from None

    def _begin(self, modified_s: float, truncate: bool) -> None:
        if truncate:
            os.ftruncate(self._descriptor, 0)
            self._bytes = 0
        elif self._bytes:
            self._check_start()
            self._mend()
        self._period = self._period_of(modified_s)

    def _check_start(self) -> None:
        """A path that names another's file by mistake is left untouched."""
        with open(self._path, "rb") as file:
            start = file.read(len(self._line_start))
        if not self._line_start.startswith(start):
            raise SinkError(f"{self._path}: is no file of records, left untouched", final=True)

    def _mend(self) -> None:
        """A power cut can leave half a line at the end; after it, ours would be unreadable."""
        with open(self._path, "rb") as file:
            file.seek(max(0, self._bytes - TAIL_BYTES))
            tail = file.read()
        partial = tail[tail.rfind(b"\n") + 1 :]
        if not partial:
            return
        self._cut(len(partial))
        self._bytes -= len(partial)
        self._report(f"{self._path}: cut half a line of {len(partial)} bytes that a crash left")

    def _rotate(self) -> None:
        """Rename the file and begin a new one. When that fails, the present one grows on."""
        if not self._is_named():
            self.reopen()  # somebody moved it away without telling
            return
        try:
            os.rename(self._path, self._rotated_name())
        except OSError as error:
            self._counts.errors.add(self._output)
            self._report(f"{self._path}: cannot rotate: {error.strerror}")
            self._rotate_not_before = time.monotonic() + ROTATE_AGAIN_S
            return
        self._counts.rotations.add(self._output)
        try:
            self._sync()
        finally:
            self._release()
        self._remove_oldest()
        self._open()

    def _rotated_name(self) -> Path:
        stamp = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y%m%dT%H%M%SZ")
        # Above the highest of this second, not the first that is free: names sort by age.
        number = max((at for (when, at), _ in self._rotated() if when == stamp), default=-1) + 1
        infix = f"{stamp}-{number}" if number else stamp
        return self._path.with_name(f"{self._path.stem}-{infix}{self._path.suffix}")

    def _remove_oldest(self) -> None:
        if not self._rotation.keep_files:
            return
        for _, path in sorted(self._rotated())[: -self._rotation.keep_files]:
            try:
                path.unlink()
            except OSError as error:
                self._report(f"{path}: cannot remove: {error.strerror}")

    def _rotated(self) -> Iterator[tuple[tuple[str, int], Path]]:
        pattern = re.compile(
            rf"{re.escape(self._path.stem)}-(\d{{8}}T\d{{6}}Z)(?:-(\d+))?{re.escape(self._path.suffix)}"
        )
        for path in self._path.parent.iterdir():
            found = pattern.fullmatch(path.name)
            if found:
                yield (found[1], int(found[2] or 0)), path

    def _is_named(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except OSError:
            return False

    def _period_of(self, time_s: float) -> int:
        return int(time_s // self._rotation.every_s) if self._rotation.every_s else 0

    def _now_period(self) -> int:
        return self._period_of(self._clock())

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
