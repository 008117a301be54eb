"""`hoptap replay`: captures to records. Nothing is shed: where an output is slow, reading waits."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from decoders.message import Hasher
from exporters.formats.registry import FORMATS, line_writer
from exporters.linefile import Durability, LineFile
from exporters.ndjson import LINE_START, FileSink, StreamSink
from exporters.outbox import Sink, SinkError, WhenFull
from sensor import app
from sensor.exits import Exit, InputError, OutputError, UsageError
from sensor.history import Bounds, History
from sensor.metrics import Metrics
from sensor.outputs import Outputs
from sensor.paths import same_file
from sensor.progress import Progress, bytes_text, packet_bytes_in
from sensor.records import Record, as_dict, encode_ndjson
from sensor.settings import Settings
from sensor.sinks import Aliases, Sinks, aliases_of
from sensor.version import version

log = logging.getLogger(__name__)

STDOUT = 1
DRAIN_S = 600.0  # a replay waits for its outputs; this only ends a wait that is in vain
QUEUE_RECORDS = 4096
PCAP_PACKET_BYTES = 16  # a packet's header in a pcap file
# Counter of sessions -> why they stayed closed; those that ended before they began are no loss.
_SEALED = {
    "no_key": "without their key",
    "late_key": "whose key came too late",
    "unsupported": "not supported",
    "failed": "under another key than given",
    "unseen": "whose handshake was not captured",
}


@dataclass(frozen=True, slots=True)
class Options:
    files: tuple[str, ...]
    out: str = "-"  # "-": standard output
    encode: Callable[[Record], bytes] = encode_ndjson
    history: str = ""  # "": none
    quiet: bool = False
    sinks: bool = False  # to the [[sink]]s of the settings too


def replay(options: Options, settings: Settings, hasher: Hasher) -> Exit:
    """Raises HoptapError when the input ends in an error, or an output does not take everything."""
    _check_paths(options, settings.capture.workers)
    metrics = Metrics(version())
    begun = time.monotonic()
    sensor = app.assemble(settings, hasher, app.Inputs(files=options.files), metrics)
    progress = Progress(0 if options.quiet else packet_bytes_in(options.files))

    def report(line: str) -> None:
        progress.clear()
        log.warning("%s", line)

    def turn() -> None:
        if not options.quiet:
            progress.show(lambda: _read_so_far(sensor), _made(metrics))

    outputs = Outputs(metrics, WhenFull.WAIT, lambda line: None)  # raise_failure says it
    failure: InputError | None = None
    stopped: list[int] = []
    with ExitStack() as signals:
        try:
            asked = settings if options.sinks else replace(settings, sink=())
            for sink in _sinks(options, metrics, report, aliases_of(asked, hasher)):
                outputs.add(sink, QUEUE_RECORDS)  # a pipe waits here for its reader
            _add_receivers(outputs, Sinks(asked, hasher, metrics.exports), report)
            stopped = signals.enter_context(_stopped_by_signals(sensor.workers.stop))
            app.drive(sensor, outputs.deliver, turn)
        except SinkError as error:
            if not outputs.problem():  # it could not even be opened
                raise OutputError(str(error)) from None
        except InputError as error:
            failure = error
        finally:
            outputs.stop(DRAIN_S)
            progress.clear()
    outputs.raise_failure()
    if not options.quiet:
        _conclude(sensor, metrics, time.monotonic() - begun)
    if failure is not None:
        raise failure
    _check_link_types(sensor, options.files)
    return Exit.INTERRUPTED if stopped else Exit.OK


def encoder(name: str) -> Callable[[Record], bytes]:
    """Writes records into one output, in a format of exporters/formats."""
    if name in ("ndjson", "hop"):
        return encode_ndjson
    write = line_writer(FORMATS[name])
    return lambda record: write(as_dict(record))


def _check_paths(options: Options, workers: int) -> None:
    """Workers read every file each, so they cannot share a pipe; and no input is overwritten."""
    written = [name for name in (options.out, options.history) if name not in ("", "-")]
    if len(written) > 1 and same_file(*written):
        raise UsageError("--out and --history name the same file")
    if options.files.count("-") > 1:
        raise UsageError("- can be read once only: name it once")
    for name in options.files:
        if workers > 1 and (name == "-" or (os.path.exists(name) and not os.path.isfile(name))):
            raise UsageError(f"{name} can be read once only: use --workers 1")
        if any(same_file(name, each) for each in written):
            raise UsageError(f"{name} is to be read: writing there would destroy it")


def _sinks(
    options: Options, metrics: Metrics, report: Callable[[str], None], aliases: Aliases | None
) -> Iterator[Sink]:
    if options.out == "-":
        yield StreamSink(STDOUT, metrics.exports, options.encode)
    else:
        yield FileSink(
            LineFile(
                Path(options.out),
                metrics.exports,
                FileSink.name,
                line_start=LINE_START,
                report=report,
                append=False,
                durability=Durability(fsync="never"),
            ),
            options.encode,
        )
    if options.history:
        yield History(Path(options.history), bounds=Bounds(), aliases=aliases)


def _add_receivers(outputs: Outputs, sinks: Sinks, report: Callable[[str], None]) -> None:
    for each, sink in sinks.direct(report):
        outputs.add(sink, QUEUE_RECORDS, counts_written=not each.is_spooled)


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[list[int]]:
    """The first signal ends the reading, the second the process. Gives the signals that came."""
    came: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if came:
            os._exit(Exit.INTERRUPTED)
        came.append(number)
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_link_types(sensor: app.Sensor, files: tuple[str, ...]) -> None:
    """ "No records" of packets that were not looked into would read as if nothing had happened."""
    unknown = sensor.counted("decap_unknown_link")
    if not unknown:
        return
    line = f"{', '.join(files)}: {unknown:,} packets are of a link type that is not read"
    if unknown == sensor.counted("packets"):
        raise InputError(line)
    log.warning("%s", line)


def _read_so_far(sensor: app.Sensor) -> tuple[int, int]:
    packets = sensor.counted("packets")
    return packets, sensor.counted("packet_bytes") + packets * PCAP_PACKET_BYTES


def _made(metrics: Metrics) -> int:
    return sum(count for _, count in metrics.records.rows())


def _conclude(sensor: app.Sensor, metrics: Metrics, elapsed_s: float) -> None:
    log.info("%s", _summary(sensor, metrics, elapsed_s))
    if closed := _sealed(sensor):
        log.info("%s", closed)
    if heard := _heard(metrics.heartbeats()):
        log.info("%s", heard)


def _summary(sensor: app.Sensor, metrics: Metrics, elapsed_s: float) -> str:
    packets, size = sensor.counted("packets"), sensor.counted("packet_bytes")
    kinds = [
        f"{count:,} {kind}{'s' if count > 1 else ''}"
        for (kind,), count in metrics.records.rows()
        if count
    ]
    return (
        f"{packets:,} packets, {bytes_text(size)} in {elapsed_s:.2f} s "
        f"({bytes_text(size / max(elapsed_s, 1e-9))}/s): {', '.join(kinds) or 'no records'}"
    )


def _sealed(sensor: app.Sensor) -> str:
    """What TLS stayed closed, and why; "" when nothing did."""
    opened = sensor.counted("tls_sessions_decrypted")
    reasons = {name: sensor.counted(f"tls_sessions_{name}") for name in _SEALED}
    total = opened + sum(reasons.values())
    if total == opened:
        return ""
    parts = [f"{count:,} {_SEALED[name]}" for name, count in reasons.items() if count]
    if unfit := sensor.counted("tls_rsa_failed"):
        parts.append(f"{unfit:,} key exchanges that no RSA key given opens")
    taken, malformed = _key_lines(sensor)
    if taken or malformed:
        parts.append(f"{taken:,} keys given, {malformed:,} malformed lines in key logs")
    return f"TLS: {opened:,} of {total:,} sessions decrypted: {', '.join(parts)}"


def _heard(heartbeats: Mapping[str, int]) -> str:
    """Their counters tell what the capture lost; "" when there were none."""
    if not heartbeats.get("received"):
        return ""
    parts = [f"{count:,} {name}" for name, count in heartbeats.items() if count]
    return f"heartbeats of hosts: {', '.join(parts)}"


def _key_lines(sensor: app.Sensor) -> tuple[int, int]:
    """Taken and malformed; every worker was given all of them."""
    counted = sensor.workers.sources[0].counters()
    return counted["tls_secrets_taken"], counted["tls_secrets_malformed"]
