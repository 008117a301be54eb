"""Records as lines of JSON, into a file that rotates or to standard output."""

import os
import select
from collections.abc import Callable, Sequence

from exporters.linefile import LineFile
from exporters.outbox import ReaderGone, SinkError
from sensor.metrics import ExportCounts
from sensor.records import Record, encode_ndjson

LINE_START = b'{"schema":"hop/'  # how a line of ours begins, whole or cut


class FileSink:
    """Records to a LineFile."""

    name = "ndjson"

    def __init__(self, file: LineFile, encode: Callable[[Record], bytes] = encode_ndjson) -> None:
        self._file = file
        self._encode = encode
        self.tick = file.tick
        self.reopen = file.reopen
        self.close = file.close

    def write(self, records: Sequence[Record]) -> None:
        self._file.write([self._encode(record) for record in records])


class StreamSink:
    """Records, as `encode` has them, to a descriptor that somebody else opened: standard output."""

    name = "ndjson"

    def __init__(
        self, descriptor: int, counts: ExportCounts, encode: Callable[[Record], bytes]
    ) -> None:
        self._descriptor = descriptor
        self._counts = counts
        self._encode = encode

    def write(self, records: Sequence[Record]) -> None:
        view = memoryview(b"".join(map(self._encode, records)))
        self._counts.bytes.add(self.name, by=len(view))
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except BrokenPipeError:
                raise ReaderGone("the reader of standard output went away") from None
            except OSError as error:
                # A reader may have got half a line: writing it again would make it no better.
                raise SinkError(f"standard output: {error.strerror}", final=True) from None

    def tick(self) -> None:
        pass

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        pass
