"""`hoptap run`: interfaces to records, until a signal. Capture never waits for an output."""

import logging
import os
import signal
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from types import FrameType

from decoders.message import Hasher
from exporters.linefile import Durability, LineFile, Rotation
from exporters.ndjson import LINE_START, FileSink, StreamSink
from exporters.outbox import Sink, SinkError, WhenFull
from sensor import app, evidence, hashing, keys, privileges
from sensor.exits import Exit, OutputError
from sensor.history import Bounds, History
from sensor.interfaces import trouble
from sensor.knowledge import Knowledge
from sensor.metrics import Metrics
from sensor.notify import notify, watchdog_s
from sensor.outputs import Outputs
from sensor.records import encode_ndjson
from sensor.settings import OutputSettings, Settings
from sensor.sinks import Sinks, aliases_of
from sensor.status import Health, StatusServer
from sensor.taps import Taps
from sensor.version import version

log = logging.getLogger(__name__)

STDOUT = 1
REMEMBER_EVERY_S = 60.0  # what was learned of addresses; a killed sensor loses as much
DRAIN_S = 10.0  # of all outputs together: within TimeoutStopSec of deploy/hoptap.service


def run(settings: Settings, duration_s: float | None) -> Exit:
    """Raises HoptapError when it cannot begin, an input fails, or an output lost records."""
    with closing(Taps(settings.tap)) as taps:
        return _run(settings, duration_s, taps)


def _run(settings: Settings, duration_s: float | None, taps: Taps) -> Exit:
    privileges.forbid_core_dumps()
    user = settings.sensor.user
    hasher = _installed(settings)
    metrics = Metrics(version())
    inputs = app.Inputs(interfaces=settings.capture.interfaces, tap_ring=taps.ring_fd)
    sensor = app.assemble(settings, hasher, inputs, metrics)
    if user:
        privileges.become(user)  # the rings are open: nothing needs root from here on
    health = Health()
    outputs = Outputs(metrics, WhenFull.SHED, lambda line: log.error("%s", line))
    health.watches += [outputs.problem, *(partial(trouble, name) for name in inputs.interfaces)]
    taps.show(metrics)
    if taps.problem():
        log.warning("%s", taps.problem())
    health.watches.append(taps.problem)
    sinks = Sinks(settings, hasher, metrics.exports)
    server = intake = None
    try:
        if settings.keys.decrypt:
            intake = keys.KeyIntake(settings.keys, sensor.workers.sources)
            metrics.keys = intake.tallies
            health.watches.append(intake.problem)
            intake.start()
        health.watches.append(sinks.problem)
        health.cares.append(sinks.warning)
        history = _open_sinks(settings, metrics, outputs, sensor.knowledge, hasher)
        _open_receivers(sinks, outputs)
        if settings.status.listen:
            server = StatusServer(settings.status.listen, metrics, health)
        _Loop(sensor, outputs, health, history, duration_s, taps).run(_greeting(settings))
    finally:
        taps.close()
        sinks.begin_stop(DRAIN_S)
        outputs.stop(DRAIN_S)
        if intake is not None:
            intake.close()
        if server is not None:
            server.close()
        log.info("%s", _farewell(sensor, metrics))
    outputs.raise_failure()
    return Exit.OK


def _installed(settings: Settings) -> Hasher:
    """The first start makes the data directory and the key. Raises HoptapError."""
    user, data = settings.sensor.user, Path(settings.sensor.data_dir)
    if user:
        privileges.check_user(user)
        privileges.give_directory(data, user)
    with suppress(OSError):  # what needs it will say so
        data.mkdir(parents=True, exist_ok=True, mode=0o750)
    hasher = hashing.installation_hasher(settings.hash_key_path)
    if user:
        privileges.give_file(settings.hash_key_path, user)
    return hasher


class _Loop:
    """The main loop, and what signals and time ask of it."""

    def __init__(
        self,
        sensor: app.Sensor,
        outputs: Outputs,
        health: Health,
        history: History | None,
        duration_s: float | None,
        taps: Taps,
    ) -> None:
        self._sensor = sensor
        self._taps = taps
        self._outputs = outputs
        self._health = health
        self._history = history
        self._remember_next = time.monotonic() + REMEMBER_EVERY_S
        self._end = None if duration_s is None else time.monotonic() + duration_s
        self._reopen = False
        self._watchdog_s = watchdog_s()
        self._watchdog_next = 0.0

    def run(self, greeting: str) -> None:
        signal.signal(signal.SIGINT, self._stop_signal)
        signal.signal(signal.SIGTERM, self._stop_signal)
        signal.signal(signal.SIGHUP, self._reopen_signal)
        self._health.capturing = True
        log.info("%s", greeting)
        notify("READY=1")
        try:
            app.drive(self._sensor, self._outputs.deliver, self._turn)
        finally:
            self._health.stopping = True
            self._remember()
            notify("STOPPING=1")

    def _turn(self) -> None:
        """Between batches: at least every tenth of a second, also on a quiet link."""
        self._health.turn()
        self._taps.turn()
        if self._reopen:
            self._reopen = False
            self._outputs.reopen()
        now = time.monotonic()
        if self._watchdog_s and now >= self._watchdog_next:
            self._watchdog_next = now + self._watchdog_s
            notify("WATCHDOG=1")
        if now >= self._remember_next:
            self._remember_next = now + REMEMBER_EVERY_S
            self._remember()
        if (self._end is not None and now >= self._end) or self._outputs.reader_gone:
            self._stop()

    def _remember(self) -> None:
        """The history's own thread writes it."""
        if self._history is not None:
            self._history.remember(self._sensor.knowledge.news())

    def _stop(self) -> None:
        self._health.stopping = True
        self._taps.say_unsaid()
        self._sensor.workers.stop()

    def _stop_signal(self, number: int, frame: FrameType | None) -> None:
        if self._health.stopping:
            os._exit(Exit.INTERRUPTED)
        self._stop()

    def _reopen_signal(self, number: int, frame: FrameType | None) -> None:
        self._reopen = True  # the loop does it: a handler may interrupt the queue itself


def _open_sinks(
    settings: Settings, metrics: Metrics, outputs: Outputs, knowledge: Knowledge, hasher: Hasher
) -> History | None:
    """The history, if there is to be one, of which `knowledge` learns. Raises OutputError."""
    history = None
    try:
        outputs.add(_records_sink(settings, metrics), settings.output.queue_records_max)
        if settings.history.enabled:
            history = History(
                settings.history_path,
                bounds=Bounds(settings.history.keep_days, settings.history.bytes_max),
                removed=metrics.history_removed,
                aliases=aliases_of(settings, hasher),
            )
            knowledge.recall(history.recalled())
            metrics.counted.append(history.unwritten)
            help_text = "Bytes that the history takes."
            metrics.gauges["hoptap_history_bytes"] = (help_text, lambda: history.bytes)
            outputs.add(history, settings.history.queue_records_max)
        if settings.evidence.file:
            outputs.add(evidence.open_log(settings, metrics), settings.evidence.queue_records_max)
        return history
    except SinkError as error:
        raise OutputError(str(error)) from None


def _open_receivers(sinks: Sinks, outputs: Outputs) -> None:
    """Every [[sink]]. Raises ConfigError or OutputError."""
    try:
        for each, sink in sinks.spooled():
            outputs.add(sink, each.queue_records_max, counts_written=not each.is_spooled)
    except SinkError as error:
        raise OutputError(str(error)) from None


def _records_sink(settings: Settings, metrics: Metrics) -> Sink:
    output: OutputSettings = settings.output
    if output.ndjson == "-":
        return StreamSink(STDOUT, metrics.exports, encode_ndjson)
    return FileSink(
        LineFile(
            settings.ndjson_path,
            metrics.exports,
            FileSink.name,
            line_start=LINE_START,
            report=lambda line: log.warning("%s", line),
            rotation=Rotation(output.rotate_bytes, output.rotate_s, output.keep_files),
            durability=Durability(output.fsync, output.fsync_interval_ms / 1000),
        )
    )


def _greeting(settings: Settings) -> str:
    parts = []
    if settings.capture.interfaces:
        parts.append(f"capturing on {', '.join(settings.capture.interfaces)}")
    if settings.tap:
        parts.append(f"tapping {', '.join(each.target for each in settings.tap)}")
    if settings.keys.decrypt:
        parts.append("decrypting TLS")
    if settings.output.ndjson != "-":
        parts.append(f"records in {settings.ndjson_path}")
    if settings.sink:
        parts.append(f"records to {', '.join(each.id for each in settings.sink)}")
    if settings.status.listen:
        parts.append(f"status at http://{settings.status.listen}")
    return "; ".join(parts)


def _farewell(sensor: app.Sensor, metrics: Metrics) -> str:
    stats = [each for source in sensor.workers.sources for each in source.source_stats()]
    received, dropped = (sum(each[name] for each in stats) for name in ("received", "dropped"))
    made = sum(count for _, count in metrics.records.rows())
    tapped = sensor.counted("tap_events")
    events = f" and {tapped:,} events of taps" if tapped else ""
    return f"stopped after {received:,} packets ({dropped:,} dropped){events}, {made:,} records"
