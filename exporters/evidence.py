"""The evidence log: records bound to each other, in files that nobody can edit unseen.

Invariant: what is in the files is one chain (exporters/chain.py), across restarts, crashes and
rotation. A file whose end is no chain is left untouched. Files are rotated, never removed.
"""

import os
import re
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.chain import (
    FILE_START,
    MARK_START,
    Head,
    Line,
    bind,
    canonical,
    read,
    signed_part,
)
from exporters.linefile import Durability, LineFile
from exporters.outbox import SinkError
from exporters.timestamp import Stamp, TimestampError
from sensor.metrics import Counted, ExportCounts
from sensor.records import Record, as_dict

TAIL_BYTES = 4 << 20  # checked of a file before it is written on; a line has 64 KiB at most
SEARCH_BYTES = 64 << 20  # for the last checkpoint of earlier runs; usual ones are 12 MB apart
ROTATE_AGAIN_NS = 60 * 10**9  # after a failed rotation
NS_PER_S = 10**9


@dataclass(frozen=True, slots=True)
class Signer:
    key: str  # the public half in hex
    sign: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Plan:
    """When marks are made and files rotated. 0 bytes or seconds of rotation: never."""

    checkpoint_records: int = 10_000
    checkpoint_s: int = 300
    rotate_bytes: int = 0
    rotate_s: int = 0


def anchors_counted() -> Counted:
    return Counted(
        "hoptap_evidence_anchors_total",
        "Time stamps asked of the authority, by whether they were granted.",
        ("result",),
        [("granted",), ("failed",)],
    )


class EvidenceSink:
    """A Sink. `announce` is told every checkpoint, and the end, to be kept elsewhere."""

    name = "evidence"

    def __init__(
        self,
        path: Path,
        counts: ExportCounts,
        *,
        plan: Plan,
        sensor: str,
        report: Callable[[str], None],
        announce: Callable[[str], None],
        signer: Signer | None = None,
        stamp: Stamp | None = None,
        anchors: Counted | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Raises SinkError when the file cannot be written, or does not end as a chain."""
        self._path = path
        self._counts = counts
        self._plan = plan
        self._sensor = sensor
        self._report = report
        self._announce = announce
        self._signer = signer
        self._stamp = stamp
        self._stamp_problem = ""
        self._anchors = anchors or anchors_counted()
        self._clock_ns = clock_ns
        self.head = Head()
        self.checkpoint, self.checkpoint_ns = Head(), 0  # lines up to it are vouched for
        self._unchecked = 0  # lines since
        self._checked_ns = clock_ns()
        self._rotate_not_before_ns = 0
        self._file: LineFile | None = None
        self._inode = 0
        self._bytes = 0
        self._period = 0
        self._owed = "started"  # why the file needs an open mark before its next line; "": it has
        self._open()

    def write(self, records: Sequence[Record]) -> None:
        self._make_ready()
        self._append([canonical(as_dict(record)) for record in records])
        try:
            self._keep_plan()
        except SinkError as error:
            error.written = len(records)  # the records are in, though the mark is not
            raise

    def tick(self) -> None:
        self._make_ready()
        self._keep_plan()
        if self._file is not None:
            self._file.tick()

    def reopen(self) -> None:
        """Somebody moved the file away: its chain goes on in a new one."""
        if self._file is None or not self._is_moved():
            return
        if not self._owed:
            self._mark("close", reason="moved")
        self._leave("moved")

    def close(self) -> None:
        self._make_ready()
        if self._unchecked:
            self._make_checkpoint()
        self._mark("close", reason="stopped")
        self._announce(f"evidence: closed {self.head}")
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _make_ready(self) -> None:
        if self._file is None:
            self._open()
        if self._owed:
            self._mark("open", reason=self._owed if self.head.seq >= 0 else "new")
            self._owed = ""

    def _keep_plan(self) -> None:
        now_ns = self._clock_ns()
        age_s = (now_ns - self._checked_ns) / NS_PER_S
        if self._unchecked >= self._plan.checkpoint_records or (
            self._unchecked and age_s >= self._plan.checkpoint_s
        ):
            self._make_checkpoint()
        full = self._plan.rotate_bytes and self._bytes >= self._plan.rotate_bytes
        due = full or self._period_of(now_ns) > self._period
        if due and now_ns >= self._rotate_not_before_ns:
            self._rotate()

    def _make_checkpoint(self) -> None:
        self._mark("checkpoint")
        self.checkpoint, self.checkpoint_ns = self.head, self._clock_ns()
        self._checked_ns = self.checkpoint_ns
        self._announce(f"evidence: checkpoint {self.checkpoint}")
        if self._stamp is not None:
            self._anchor(self._stamp)
        self._unchecked = 0

    def _anchor(self, stamp: Stamp) -> None:
        """Records do not wait for an authority: one that fails is asked at the next checkpoint."""
        try:
            token = stamp(self.head.hash)
        except TimestampError as error:
            self._anchors.add("failed")
            if not self._stamp_problem:
                self._report(f"evidence: no time stamp: {error}")
            self._stamp_problem = str(error)
            return
        self._stamp_problem = ""
        self._anchors.add("granted")
        self._mark("anchor", token=b64encode(token).decode())

    def _mark(self, kind: str, **members: str) -> None:
        mark: dict[str, Any] = {
            "evidence": kind,
            "of": {"seq": self.head.seq, "hash": self.head.hash},
            "sensor": self._sensor,
            "time": self._clock_ns(),
            **members,
        }
        if self._signer is not None:
            mark["key"] = self._signer.key
            mark["signature"] = b64encode(self._signer.sign(signed_part(mark))).decode()
        self._append([canonical(mark)], is_mark=True)

    def _append(self, bodies: Sequence[bytes], *, is_mark: bool = False) -> None:
        """Bind and write; the head is that of the last line which is in the file."""
        assert self._file is not None
        lines, heads, head = [], [self.head], self.head
        for body in bodies:
            line, head = bind(head, body)
            lines.append(line)
            heads.append(head)
        written = len(lines)
        try:
            self._file.write(lines)
        except SinkError as error:
            written = error.written
            if is_mark:
                error.written = 0
            raise
        finally:
            self.head = heads[written]
            self._bytes += sum(map(len, lines[:written]))
            self._unchecked += 0 if is_mark else written

    # --- files

    def _open(self) -> None:
        """Go on in the file at the path, or begin it; the chain continues in either case."""
        file = LineFile(
            self._path,
            self._counts,
            self.name,
            line_start=FILE_START,
            report=self._report,
            durability=Durability(),
        )
        try:
            status = self._path.stat()
            self._continue(is_empty=status.st_size == 0)
        except BaseException:
            file.close()
            raise
        self._file = file
        self._inode = status.st_ino
        self._bytes = status.st_size
        self._period = self._period_of(status.st_mtime_ns if status.st_size else self._clock_ns())

    def _continue(self, *, is_empty: bool) -> None:
        """Find the head of a run before this one; a file that is begun in a run is empty."""
        if self.head.seq >= 0:
            if not is_empty:
                raise SinkError(f"{self._path}: is not of this log, left untouched", final=True)
            return
        before = self._rotated()
        files = before if is_empty else [*before, self._path]
        if files:
            self.head = tail(files[-1])
            self.checkpoint, self.checkpoint_ns = last_checkpoint(files)

    def _rotate(self) -> None:
        """When the file cannot be renamed, it grows on."""
        self._mark("close", reason="rotated")
        target = self._path.with_name(f"{self._path.stem}-{self.head.seq:012d}{self._path.suffix}")
        try:
            if target.exists():
                raise FileExistsError(0, f"{target.name} is there already")
            os.rename(self._path, target)
        except OSError as error:
            self._counts.errors.add(self.name)
            self._report(f"{self._path}: cannot rotate: {error.strerror}")
            self._rotate_not_before_ns = self._clock_ns() + ROTATE_AGAIN_NS
            self._owed = "rotated"
            return
        self._counts.rotations.add(self.name)
        self._leave("rotated")

    def _leave(self, reason: str) -> None:
        file, self._file = self._file, None
        self._owed = reason
        if file is not None:
            file.close()
        self._open()

    def _rotated(self) -> list[Path]:
        """Earlier files, the last one last."""
        name = re.escape(self._path.stem) + r"-\d{12}" + re.escape(self._path.suffix)
        return sorted(path for path in self._path.parent.iterdir() if re.fullmatch(name, path.name))

    def _is_moved(self) -> bool:
        try:
            return self._path.stat().st_ino != self._inode
        except OSError:
            return True

    def _period_of(self, time_ns: int) -> int:
        every_s = self._plan.rotate_s
        return time_ns // NS_PER_S // every_s if every_s else 0


def last_checkpoint(files: Sequence[Path]) -> tuple[Head, int]:
    """And when it was made; looked for from the end. Head() when there is none near it."""
    wanted = b"\n" + MARK_START + b'"checkpoint"'  # no file begins with one
    left = SEARCH_BYTES
    for path in reversed(files):
        with suppress(OSError), path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            while end > 0 and left > 0:
                start = max(0, end - TAIL_BYTES)
                file.seek(start)
                found = file.read(end - start + len(wanted) - 1).rfind(wanted)
                if found >= 0:
                    file.seek(start + found + 1)
                    return _checkpoint(file.readline())
                left -= end - start
                end = start
    return Head(), 0


def _checkpoint(raw: bytes) -> tuple[Head, int]:
    line = read(raw)
    try:
        mark = line.mark if line is not None and line.is_intact else None
    except (ValueError, RecursionError):
        mark = None
    if line is None or mark is None:
        return Head(), 0
    time_ns = mark.get("time")
    return line.head, time_ns if isinstance(time_ns, int) else 0


def tail(path: Path) -> Head:
    """The last line of a file, after a look whether its end is a chain. Raises SinkError."""
    try:
        with open(path, "rb") as file:
            start = max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES)
            file.seek(start)
            lines = file.readlines()
    except OSError as error:
        raise SinkError(f"{path}: {error.strerror}", final=True) from None
    if start:
        del lines[0]  # cut
    before: Line | None = None
    for line in lines:
        found = read(line)
        if found is None or not found.is_intact or (before and not found.follows(before.head)):
            break
        before = found
    else:
        if before is not None:
            return before.head
    after = f"after seq {before.seq}" if before else "at its end"
    raise SinkError(
        f"{path}: was changed {after}: `hoptap verify` it and move it away; left untouched",
        final=True,
    )
