"""The [[sink]]s of the configuration, put together: filter, privacy, spool, courier, transport.

A live sensor spools what goes to a receiver; a replay hands it over and waits.
"""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from decoders.message import Hasher
from exporters.courier import Courier, SpooledSink
from exporters.deadletter import DeadLetters
from exporters.delivery import Delivery
from exporters.direct import DirectSink
from exporters.filters import filter_of
from exporters.formats.format import Format
from exporters.linefile import Durability, LineFile, Rotation
from exporters.ndjson import LINE_START
from exporters.outbox import Sink
from exporters.privacy import Dropper, Pseudonyms
from exporters.spool import Bounds, Spool
from exporters.textfile import TextFileSink
from exporters.transport import Tree
from sensor.exits import ConfigError
from sensor.metrics import ExportCounts
from sensor.receivers import Receiver, format_of, host_name, receiver_of
from sensor.records import Record, as_dict
from sensor.settings import Settings
from sensor.sink_settings import SinkSettings

log = logging.getLogger(__name__)

DRAIN_S = 8.0  # of what is spooled, at the end; the rest waits for the next start
FILLED_SHARE = 0.8  # of a spool: from there on the receiver's absence is the sensor's trouble
SAY_AGAIN_S = 3600.0
_DROPPED = {
    "size": "the spool is full: its oldest records are lost",
    "age": "the receiver was away for too long: the oldest records of the spool are lost",
}
LINE_STARTS = {"hop": LINE_START, "cef": b"CEF:", "leef": b"LEEF:"}

Prepare = Callable[[Record], Tree | None]
Aliases = Callable[[Tree], set[str]]


class Sinks:
    """Makes the sinks, and knows how those with a receiver fare."""

    def __init__(self, settings: Settings, hasher: Hasher, counts: ExportCounts) -> None:
        self._settings = settings
        self._hasher = hasher
        self._counts = counts
        self._spooled: list[SpooledSink] = []

    def spooled(self) -> Iterator[tuple[SinkSettings, Sink]]:
        """For a live sensor. Raises ConfigError, or SinkError when a spool cannot be had."""
        receivers = self._receivers(self._settings.sink)  # all, before the first is started
        for each in self._settings.sink:
            if each.is_spooled:
                yield each, self._start_spooled(each, receivers[each.id])
            else:
                yield each, self._file(each, lambda line: log.warning("%s", line))

    def direct(self, report: Callable[[str], None]) -> Iterator[tuple[SinkSettings, Sink]]:
        """For a replay. Raises ConfigError or SinkError."""
        receivers = self._receivers(self._settings.sink)
        for each in self._settings.sink:
            if each.is_spooled:
                yield each, self._direct(each, receivers[each.id], report)
            else:
                yield each, self._file(each, report)

    def begin_stop(self, drain_s: float) -> None:
        """What is left of the time once the outputs are written is for the receivers."""
        for sink in self._spooled:
            sink.begin_stop(drain_s)

    def problem(self) -> str:
        """Of receivers that take nothing while their spools fill, or ""."""
        return self._problems(lambda sink: sink.is_filled(FILLED_SHARE))

    def warning(self) -> str:
        """The same of those whose spools have room for long."""
        return self._problems(lambda sink: not sink.is_filled(FILLED_SHARE))

    def _problems(self, applies: Callable[[SpooledSink], bool]) -> str:
        told = [(sink.name, sink.problem()) for sink in self._spooled if applies(sink)]
        return "; ".join(f"{name}: {problem}" for name, problem in told if problem)

    def _receivers(self, sinks: tuple[SinkSettings, ...]) -> dict[str, Receiver]:
        found: dict[str, Receiver] = {}
        lines: list[str] = []
        for each in sinks:
            try:
                if each.is_spooled:
                    found[each.id] = receiver_of(each, host_name(), _warner(each.id))
            except ConfigError as error:
                lines += error.lines
        if lines:
            raise ConfigError(*lines)
        return found

    def _direct(
        self, sink: SinkSettings, receiver: Receiver, report: Callable[[str], None]
    ) -> DirectSink:
        delivery = self._delivery(sink, receiver, lambda line: None, f"{sink.id}-replay")
        prepare, records_max = self._prepare(sink), sink.batch_records_max
        return DirectSink(delivery, prepare, records_max=records_max, report=report)

    def _delivery(
        self,
        sink: SinkSettings,
        receiver: Receiver,
        report: Callable[[str], None],
        letters_name: str,
    ) -> Delivery:
        path = self._settings.dead_letter_path(letters_name)
        letters = DeadLetters(path, sink.id, lambda line: log.warning("%s", line))
        return Delivery(
            sink.id, receiver.transport, receiver.format, letters, self._counts, report=report
        )

    def _start_spooled(self, sink: SinkSettings, receiver: Receiver) -> SpooledSink:
        spool = self._spool(sink)
        self._counts.start_spool(sink.id, sink.spool_bytes_max, lambda: spool.size_bytes)
        delivery = self._delivery(sink, receiver, _say_error, sink.id)
        courier = Courier(
            spool,
            delivery,
            records_max=sink.batch_records_max,
            bytes_max=sink.batch_bytes_max,
            report=_say_error,
            notice=lambda line: log.info("%s", line),
        )
        courier.start()
        spooled = SpooledSink(spool, courier, delivery, self._prepare(sink), drain_s=DRAIN_S)
        self._spooled.append(spooled)
        return spooled

    def _spool(self, sink: SinkSettings) -> Spool:
        said_s: dict[str, float] = {}

        def dropped(reason: str, count: int) -> None:
            self._counts.spool_dropped.add(sink.id, reason, by=count)
            self._counts.records.add(sink.id, "lost", by=count)
            now = time.monotonic()
            if reason in _DROPPED and now - said_s.get(reason, -SAY_AGAIN_S) >= SAY_AGAIN_S:
                said_s[reason] = now
                log.error("%s: %s", sink.id, _DROPPED[reason])

        return Spool(
            self._settings.spool_path(sink.id),
            bounds=Bounds(sink.spool_bytes_max, sink.spool_age_max_s),
            durability=Durability(sink.fsync),
            report=_warner(sink.id),
            dropped=dropped,
        )

    def _file(self, sink: SinkSettings, report: Callable[[str], None]) -> Sink:
        file = line_file(sink, self._counts, report, Durability(sink.fsync))
        return TextFileSink(sink.id, file, format_of(sink), self._prepare(sink))

    def _prepare(self, sink: SinkSettings) -> Prepare:
        """What becomes of a record before it is kept anywhere for this sink."""
        chosen = filter_of(sink.kinds, sink.services, sink.classes)
        change = privacy_of(sink, self._hasher)

        def prepare(record: Record) -> Tree | None:
            return change(as_dict(record)) if chosen.takes(record) else None

        return prepare


def line_file(
    sink: SinkSettings,
    counts: ExportCounts,
    report: Callable[[str], None],
    durability: Durability,
) -> LineFile:
    """Of a sink of type file, opened. Raises SinkError."""
    format = format_of(sink)
    return LineFile(
        Path(sink.to),
        counts,
        sink.id,
        line_start=_line_start(format),
        report=report,
        rotation=Rotation(sink.rotate_bytes, sink.rotate_s, sink.keep_files),
        durability=durability,
        preamble=_preamble(format),
    )


def privacy_of(sink: SinkSettings, hasher: Hasher) -> Callable[[Tree], Tree]:
    """What this sink's receiver gets to know of a record."""
    steps: list[Callable[[Tree], Tree]] = []
    if sink.pseudonymize:
        steps.append(Pseudonyms(hasher, sink.pseudonymize).apply)
    if sink.drop:
        steps.append(Dropper(sink.drop).apply)

    def change(tree: Tree) -> Tree:
        for step in steps:
            tree = step(tree)
        return tree

    return change


def aliases_of(settings: Settings, hasher: Hasher) -> Aliases | None:
    """Pseudonyms by which the history is to find a record; None when no sink uses any."""
    kinds = {kind for sink in settings.sink for kind in sink.pseudonymize}
    return Pseudonyms(hasher, kinds).aliases if kinds else None


def _line_start(format: Format) -> bytes:
    if format.preamble:
        return format.preamble.partition("\n")[0].encode()
    return LINE_STARTS.get(format.name, b'{"')


def _preamble(format: Format) -> bytes:
    return format.preamble.rstrip("\n").encode() + b"\n" if format.preamble else b""


def _say_error(line: str) -> None:
    log.error("%s", line)


def _warner(sink: str) -> Callable[[str], None]:
    return lambda line: log.warning("%s: %s", sink, line)
