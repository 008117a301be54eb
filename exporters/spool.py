"""Records on disk until a receiver has them: a directory of segment files, and a cursor.

Every record has a number; a segment is named by that of its first. What lies before the cursor was
acknowledged. Invariants: a record that `append` took survives the end of the process, and is read
in order, once per start; the directory belongs to one process; beyond the bounds the oldest segment
goes, and is counted.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from exporters.cursor import Cursor
from exporters.frames import HEAD, frame_of
from exporters.linefile import Durability
from exporters.outbox import SinkError
from exporters.segments import Batch, Reader, Segment, cut_unfinished, segments_in

DIRECTORY_MODE, FILE_MODE = 0o700, 0o600  # user names, and nobody's business but the sensor's
SEGMENTS = 16  # a bound that is met costs a sixteenth of the spool
SEGMENT_BYTES_MAX = 16 << 20
KEPT_BYTES = 64 << 10  # a last segment this short takes the next records, too

Dropped = Callable[[str, int], None]  # why (size, age, damaged), how many records


@dataclass(frozen=True, slots=True)
class Bounds:
    bytes_max: int = 1 << 30
    age_max_s: float = 7 * 86_400.0

    @property
    def segment_bytes(self) -> int:
        return min(SEGMENT_BYTES_MAX, max(1, self.bytes_max // SEGMENTS))


class Spool:
    """Appended to by one thread and read by another."""

    def __init__(
        self,
        directory: Path,
        *,
        bounds: Bounds,
        durability: Durability,
        report: Callable[[str], None],
        dropped: Dropped,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Opens, or makes, the directory. Raises SinkError, also when another process has it."""
        self._directory = directory
        self._bounds = bounds
        self._durability = durability
        self._report = report
        self._dropped = dropped
        self._clock = clock
        self._changed = threading.Condition()
        self._segments: list[Segment] = []
        self._writing = -1  # descriptor of the last segment; -1: the next record begins one
        self._unsynced_since: float | None = None
        # Numbers of records that are on their way, and no longer on disk: first, end, why.
        self._orphans: list[tuple[int, int, str]] = []
        self._closed = self._woken = False
        self._lock = self._take_directory()
        try:
            self._cursor = Cursor(directory / "cursor")
            self._recover()
        except BaseException:
            os.close(self._lock)
            raise

    def is_filled(self, share: float) -> bool:
        """Does more than this share of it wait?"""
        return self.size_bytes > share * self._bounds.bytes_max

    @property
    def size_bytes(self) -> int:
        """That wait for the receiver, roughly: a segment goes when all of it was acknowledged."""
        if self._cursor.number >= self._next:
            return 0
        return sum(segment.bytes for segment in tuple(self._segments))

    @property
    def waiting(self) -> int:
        """That wait for the receiver."""
        segments = tuple(self._segments)
        first = segments[0].first if segments else self._next
        return max(0, self._next - max(self._cursor.number, first))

    def append(self, payloads: Sequence[bytes]) -> None:
        """All of them, or SinkError with how many are in."""
        written = 0
        with self._changed:
            try:
                while written < len(payloads):
                    written += self._append_some(payloads[written:])
            except SinkError as error:
                error.written += written
                raise
            except OSError as error:
                raise self._error(error, written=written) from None
            finally:
                self._changed.notify_all()
        self._sync_if_due(written)

    def read(self, records_max: int, bytes_max: int) -> Batch:
        """The next records, of which there may be none; they stay until acknowledged."""
        with self._changed:
            while not self._closed and (segment := self._readable()) is not None:
                try:
                    batch, lost = self._reader.read(segment, records_max, bytes_max)
                except OSError as error:
                    raise self._error(error) from None
                if lost:
                    self._dropped("damaged", lost)
                    self._report(f"{segment.path}: {lost} records were damaged and are left out")
                if batch.records:
                    return batch
        return Batch([], [])

    def acknowledge(self, number: int) -> None:
        """The receiver has every record up to this number, inclusive."""
        with self._changed:
            if self._closed:
                return
            try:
                self._cursor.move(number + 1)
            except OSError as error:
                raise self._error(error) from None
            self._orphans = [each for each in self._orphans if each[1] > self._cursor.number]
            while self._segments and self._segments[0].end <= self._cursor.number:
                if len(self._segments) == 1 and self._segments[0].bytes < KEPT_BYTES:
                    break  # until the next tick
                self._remove_first()

    def wait(self, timeout_s: float) -> None:
        """For a record to read, a `wake`, also one since the last `wait`, or the time."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._woken or self._closed or self._readable() is not None, timeout_s
            )
            self._woken = False

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def tick(self) -> None:
        """Called every second or so: what became too old goes, what was written is flushed."""
        with self._changed:
            self._expire()
            self._remove_acknowledged()
        self._sync_if_due(0)

    def close(self) -> None:
        """What is not acknowledged stays for the next start."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
            self._remove_acknowledged()
            for first, end, why in self._orphans:
                if lost := max(0, end - max(first, self._cursor.number)):
                    self._dropped(why, lost)
            try:
                self._end_segment()
            except OSError as error:
                raise self._error(error, "flush to disk: ") from None
            finally:
                self._reader.close()
                self._cursor.close()
                os.close(self._lock)

    def _take_directory(self) -> int:
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=DIRECTORY_MODE)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            lock = os.open(self._directory / "lock", flags, FILE_MODE)
        except OSError as error:
            raise self._error(error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            line = f"spool {self._directory}: another process has it"
            raise SinkError(line, final=True) from None
        return lock

    def _recover(self) -> None:
        """What the last run left: its segments, without the record that it did not finish."""
        try:
            found = sorted(segments_in(self._directory))
            for at, (first, path) in enumerate(found):
                end = found[at + 1][0] if at + 1 < len(found) else self._mended(path, first)
                status = path.stat()
                times = status.st_mtime, status.st_mtime
                self._segments.append(Segment(path, first, end, status.st_size, *times))
        except OSError as error:
            raise self._error(error) from None
        last = self._segments[-1].end if self._segments else 0
        self._next = max(self._cursor.number, last)
        first = self._segments[0].first if self._segments else self._next
        self._reader = Reader(max(self._cursor.number, first))
        self._remove_acknowledged()

    def _mended(self, path: Path, first: int) -> int:
        end, cut_bytes = cut_unfinished(path, first)
        if cut_bytes:
            self._report(f"{path}: cut {cut_bytes} bytes of a record that a crash left")
        return end

    def _append_some(self, payloads: Sequence[bytes]) -> int:
        """As many as go into the present segment, one at least."""
        if self._closed:
            raise SinkError(f"spool {self._directory}: is closed", final=True)
        segment = self._segment_for(HEAD.size + len(payloads[0]))
        frames: list[bytes] = []
        size = 0
        for payload in payloads:
            frame = frame_of(self._next + len(frames), payload)
            if frames and segment.bytes + size + len(frame) > self._bounds.segment_bytes:
                break
            frames.append(frame)
            size += len(frame)
        self._make_room(size)
        self._write(segment, b"".join(frames), size)
        self._next += len(frames)
        segment.end = self._next
        segment.newest_s = self._clock()
        return len(frames)

    def _write(self, segment: Segment, data: bytes, size: int) -> None:
        """Whole, or not at all."""
        view, done = memoryview(data), 0
        try:
            while done < size:
                done += os.write(self._writing, view[done:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._writing, segment.bytes)
            if not segment.bytes:
                self._remove(self._segments.pop(), is_last=True)
            raise
        segment.bytes += size
        if self._unsynced_since is None:
            self._unsynced_since = time.monotonic()

    def _segment_for(self, frame_bytes: int) -> Segment:
        """The last segment, or a new one when that has had enough of bytes or of time."""
        now = self._clock()
        if self._segments:
            last = self._segments[-1]
            full = last.bytes and last.bytes + frame_bytes > self._bounds.segment_bytes
            old = last.bytes and now - last.begun_s > self._bounds.age_max_s / SEGMENTS
            if not full and not old:
                if self._writing < 0:
                    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
                    self._writing = os.open(last.path, flags)
                return last
            self._end_segment()
        path = self._directory / f"{self._next:016x}.seg"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._writing = os.open(path, flags, FILE_MODE)
        if self._durability.fsync == "always":
            _sync_directory(self._directory)
        self._segments.append(Segment(path, self._next, self._next, 0, now, now))
        return self._segments[-1]

    def _end_segment(self) -> None:
        """The last segment gets no more."""
        if self._writing < 0:
            return
        try:
            if self._durability.fsync != "never":
                os.fdatasync(self._writing)
        finally:
            os.close(self._writing)
            self._writing = -1
            self._unsynced_since = None

    def _make_room(self, wanted: int) -> None:
        self._expire()
        used = sum(segment.bytes for segment in self._segments)
        while len(self._segments) > 1 and used + wanted > self._bounds.bytes_max:
            used -= self._segments[0].bytes
            self._drop_first("size")

    def _expire(self) -> None:
        oldest_s = self._clock() - self._bounds.age_max_s
        while len(self._segments) > 1 and self._segments[0].newest_s < oldest_s:
            self._drop_first("age")
        first = self._segments[0] if self._segments else None
        if first is not None and first.bytes and first.newest_s < oldest_s:
            self._drop_first("age")

    def _drop_first(self, why: str) -> None:
        """What was read already is on its way to the receiver, and dropped only if it fails."""
        segment = self._segments[0]
        read = max(segment.first, min(segment.end, self._reader.next))
        if read > self._cursor.number:
            self._orphans.append((max(segment.first, self._cursor.number), read, why))
        lost = segment.end - read
        self._remove_first()
        if lost:
            self._dropped(why, lost)

    def _remove_acknowledged(self) -> None:
        while self._segments and self._segments[0].end <= self._cursor.number:
            self._remove_first()

    def _remove_first(self) -> None:
        segment = self._segments.pop(0)
        self._reader.skip(segment)
        self._remove(segment, is_last=not self._segments)

    def _remove(self, segment: Segment, *, is_last: bool) -> None:
        if is_last and self._writing >= 0:
            os.close(self._writing)
            self._writing, self._unsynced_since = -1, None
        with suppress(OSError):
            segment.path.unlink()

    def _readable(self) -> Segment | None:
        """The segment that the next record is in."""
        for segment in self._segments:
            if segment.end > self._reader.next:
                return segment
        return None

    def _sync_if_due(self, written: int) -> None:
        """Not under the lock: a slow disk is not to keep the reader from reading."""
        since, policy = self._unsynced_since, self._durability
        if since is None or policy.fsync == "never":
            return
        if policy.fsync != "always" and time.monotonic() - since < policy.interval_s:
            return
        with self._changed:
            if self._writing < 0:
                return
            descriptor = os.dup(self._writing)
            self._unsynced_since = None
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            raise self._error(error, "flush to disk: ", written=written) from None
        finally:
            os.close(descriptor)

    def _error(self, error: OSError, doing: str = "", *, written: int = 0) -> SinkError:
        return SinkError(f"spool {self._directory}: {doing}{error.strerror}", written=written)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
