"""Records to a file, in any format that has lines."""

from collections.abc import Callable, Sequence

from exporters.formats.format import Format
from exporters.linefile import LineFile
from exporters.outbox import SinkError
from exporters.payload import payload_of
from exporters.transport import Tree
from sensor.records import Record


class TextFileSink:
    def __init__(
        self,
        name: str,
        file: LineFile,
        format: Format,
        prepare: Callable[[Record], Tree | None],
    ) -> None:
        self.name = name
        self._file = file
        self._format = format
        self._prepare = prepare
        self.tick = file.tick
        self.reopen = file.reopen
        self.close = file.close

    def write(self, records: Sequence[Record]) -> None:
        wanted = [(at, tree) for at, each in enumerate(records) if (tree := self._prepare(each))]
        lines = [payload_of(self._format, tree) + b"\n" for _, tree in wanted]
        try:
            self._file.write(lines)
        except SinkError as error:
            taken = error.written
            error.written = wanted[taken][0] if taken < len(wanted) else len(records)
            raise
