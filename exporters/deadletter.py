"""Records that a receiver will never take, each with its reason: lines of JSON, of bounded size."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from exporters.linefile import Durability, LineFile, Rotation
from exporters.outbox import SinkError
from exporters.transport import Tree
from sensor.metrics import ExportCounts

LINE_START = b'{"refused":'
FILE_BYTES = 16 << 20
KEEP_FILES = 3  # beside the present one: 64 MiB in all, then the oldest go

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class DeadLetters:
    """The file is made with the first letter. It never fails: what it cannot keep, it says."""

    def __init__(self, path: Path, output: str, report: Callable[[str], None]) -> None:
        self._path = path
        self._output = output
        self._report = report
        self._file: LineFile | None = None
        self._problem = ""

    def keep(self, letters: Sequence[tuple[Tree, str]]) -> None:
        """Records as the receiver got them, and why it did not take them."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        lines = [
            _encode({"refused": now, "sink": self._output, "reason": reason, "record": record})
            for record, reason in letters
        ]
        try:
            self._opened().write([f"{line}\n".encode(errors="backslashreplace") for line in lines])
        except SinkError as error:
            if self._problem != str(error):
                self._report(f"{self._output}: refused records are not kept: {error}")
            self._problem = str(error)
        else:
            self._problem = ""

    def close(self) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except SinkError as error:
                self._report(f"{self._output}: {error}")
            self._file = None

    def _opened(self) -> LineFile:
        if self._file is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise SinkError(f"{self._path.parent}: {error.strerror}") from None
            self._file = LineFile(
                self._path,
                ExportCounts(),  # not the sink's own: these bytes went to no receiver
                self._output,
                line_start=LINE_START,
                report=self._report,
                rotation=Rotation(bytes=FILE_BYTES, keep_files=KEEP_FILES),
                durability=Durability(interval_s=0.0),
            )
        return self._file
