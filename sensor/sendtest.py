"""`hoptap send-test`: marked records to every sink, and what each receiver said to them.

The spool is passed by: it may belong to a sensor at work. So is the filter: a test record is of one
kind, and goes to all. What a sink leaves out or hashes, it does here, too.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from decoders.message import Hasher
from exporters.linefile import Durability
from exporters.outbox import SinkError
from exporters.payload import payload_of
from exporters.transport import Refused, Transport, Tree
from sensor import hashing
from sensor.exits import ConfigError, Exit, UsageError
from sensor.finding import Finding, Level
from sensor.metrics import ExportCounts
from sensor.receivers import format_of, host_name, receiver_of
from sensor.records import (
    Chain,
    Client,
    Endpoint,
    Hop,
    ObjectRef,
    Operation,
    Record,
    SensorRef,
    as_dict,
    new_id,
)
from sensor.settings import Settings
from sensor.sink_settings import SinkSettings
from sensor.sinks import line_file, privacy_of
from sensor.terminal import say
from sensor.version import version

COUNT_MOST = 100_000
REASONS_SHOWN = 3
_USER = "hoptap-test"


def send_test(settings: Settings, ids: Sequence[str], count: int) -> Exit:
    """Raises UsageError."""
    if not 1 <= count <= COUNT_MOST:
        raise UsageError(f"--count: must be at least 1 and at most {COUNT_MOST:,}")
    code = Exit.OK
    for finding in findings(settings, _chosen(settings, ids), _hasher(settings), count):
        say([f"{finding.level:8} {finding.subject}: {finding.text}"])
        if finding.level is Level.PROBLEM:
            code = Exit.OUTPUT
    return code


def _chosen(settings: Settings, ids: Sequence[str]) -> list[SinkSettings]:
    """The sinks of these ids, or all. Raises UsageError."""
    known = {sink.id: sink for sink in settings.sink}
    if not known:
        raise UsageError("the configuration has no [[sink]]")
    unknown = [each for each in ids if each not in known]
    if unknown:
        raise UsageError(f"--sink: there is no {unknown[0]!r}, but {', '.join(known)}")
    return [known[each] for each in dict.fromkeys(ids)] or list(known.values())


def findings(
    settings: Settings, sinks: Sequence[SinkSettings], hasher: Hasher, count: int
) -> Iterator[Finding]:
    """A line for each sink, as soon as it is known."""
    sensor = SensorRef(settings.sensor.id or host_name(), "", version())
    for sink in sinks:
        records = list(test_records(sensor, count))
        change = privacy_of(sink, hasher)
        try:
            text, refused = _sent(sink, [change(as_dict(each)) for each in records])
        except (SinkError, ConfigError) as error:
            text = str(error).removeprefix(f"sink {sink.id}: ")
            yield Finding(Level.PROBLEM, f"sink {sink.id}", text)
            continue
        level = Level.PROBLEM if refused else Level.OK
        yield Finding(level, f"sink {sink.id}", text)


def _hasher(settings: Settings) -> Hasher:
    """That of the installation, so that pseudonyms are its own."""
    path = settings.hash_key_path
    return hashing.file_hasher(path) if path.exists() else hashing.run_hasher()


def test_records(sensor: SensorRef, count: int) -> Iterator[Record]:
    """Actions that never were, by addresses that are nobody's (RFC 5737)."""
    for number in range(1, count + 1):
        identity = new_id()
        ts = int(identity.replace("-", "")[:12], 16) * 10**6
        yield Record(
            kind="action",
            ts=ts,
            ts_end=ts,
            id=identity,
            chain=Chain(identity, f"VC:{_USER}", (_USER,), ("VC",), 1),
            hop=Hop(0, 1, "VC", _USER, "none", 1.0),
            source=Endpoint("192.0.2.1", 49152),
            to=Endpoint("192.0.2.2", 443, "VC", _USER),
            op=Operation("HoptapSendTest", "hoptap", "read"),
            target=ObjectRef("Test", f"test-{number}", "hoptap send-test"),
            outcome="success",
            client=Client(f"hoptap/{version()}"),
            sensor=sensor,
            extra={"test": "true", "sequence": f"{number}/{count}"},
        )


def _sent(sink: SinkSettings, records: Sequence[Tree]) -> tuple[str, Sequence[Refused]]:
    """What the receiver said, and what it refused."""
    warnings: list[str] = []
    if not sink.is_spooled:
        return _written(sink, records), ()
    receiver = receiver_of(sink, host_name(), warnings.append)
    transport = receiver.transport
    try:
        answer = transport.probe()
        refused = _offered(transport, records, sink.batch_records_max)
    finally:
        transport.close()
    taken = len(records) - len(refused)
    verb = "acknowledged" if transport.acknowledges else "sent, which it does not acknowledge"
    told = [f"{answer}; {taken} of {len(records)} records {verb}"]
    told += [f"refused: {each.reason}" for each in refused[:REASONS_SHOWN]]
    return "; ".join((*told, *warnings)), refused


def _offered(transport: Transport, records: Sequence[Tree], records_max: int) -> list[Refused]:
    refused: list[Refused] = []
    for first in range(0, len(records), records_max):
        told = transport.send(records[first : first + records_max])
        refused += [Refused(first + each.index, each.reason) for each in told]
    return refused


def _written(sink: SinkSettings, records: Sequence[Tree]) -> str:
    counts = ExportCounts()
    counts.start(sink.id, 1, lambda: 0)
    format = format_of(sink)
    file = line_file(sink, counts, lambda line: None, Durability("always"))
    try:
        file.write([payload_of(format, record) + b"\n" for record in records])
    finally:
        file.close()
    return f"{Path(sink.to)}; {len(records)} of {len(records)} records on disk"
