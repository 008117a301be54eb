"""Every counter and gauge of the sensor, as one Prometheus collector.

Invariants: names are `hoptap_*` with their unit, each has a help text; every row of a closed label
set is there from the start, at zero; no user, object, session or address becomes a label. Only
`operations_total` has label values from the traffic; the core bounds its rows (operations_max).
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from sensor.core_help import CORE_HELP

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

OTHER = "other"  # where a label value outside the closed set is counted
OUTCOMES = ("success", "failure", "unknown")
SEALED = ("recorded", "unrecorded")
RECORD_KINDS = ("login", "logout", "action", "chain", "alert", "gap")

KEY_INPUTS = ("file", "fifo", "unix", "udp")
KEY_HELP = {  # of sensor/keybuffer.py Tally
    "read_bytes": "Bytes of key logs handed to the core, by kind of input.",
    "overlong_lines": "Lines of key logs too long to be keys.",
    "shed_bytes": "Bytes of key logs given up because the core had no room.",
    "cut_datagrams": "Datagrams of key logs beyond 64 KiB; their ends are lost.",
    "dropped_datagrams": "Datagrams of key logs that the kernel dropped, its queue being full.",
    "rotations": "Key logs that came to be another file.",
    "truncations": "Key logs that were begun anew.",
    "errors": "Times that a key log could not be read, for a new reason.",
}
CORE_GAUGE_HELP = {
    "flows": ("hoptap_flows_active", "Flows in the table now."),
    "memory_bytes": ("hoptap_memory_bytes", "Bytes held for traffic now."),
    "memory_bytes_limit": ("hoptap_memory_limit_bytes", "Most bytes that may be held for traffic."),
}
ANALYSIS_HELP = {
    "sessions": "Sessions known.",
    "sessions_active": "Sessions neither ended nor idle.",
    "addresses": "Addresses whose service is known.",
    "objects": "Inventory objects known.",
    "actions": "Actions that may still be amended, or cause another.",
    "actions_pending": "Actions whose chain is not decided yet.",
    "hosts": "Hosts known by their heartbeats.",
    "guest_sessions": "Sessions inside guests.",
    "open_disks": "Disks, consoles and files that are open.",
}
HEARTBEAT_HELP = {  # of sensor/hosts.py
    "received": "Heartbeats of hosts to their vCenter.",
    "missed": "Heartbeats missing by the hosts' counters: lost at the span port, or on the way.",
    "restarts": "Times that a host's heartbeats began to count anew.",
}
INPUT_HELP = {
    "received": ("packets", "Packets that the input delivered."),
    "dropped": ("packets_dropped", "Packets the kernel dropped because the ring was full."),
    "frozen": ("ring_freezes", "Times that the ring was full."),
    "truncated": ("packets_truncated", "Packets captured shorter than they were on the wire."),
    "secrets_shed": ("capture_secrets_shed", "Decryption secrets blocks past 64 MiB of a file."),
}


class Counted:
    """A counter by label values; only rises. `rows` are there from the start."""

    def __init__(
        self,
        name: str,
        help_text: str,
        labels: tuple[str, ...],
        rows: Iterable[tuple[str, ...]] = (),
    ) -> None:
        self.name = name
        self.help_text = help_text
        self.labels = labels
        self._values = dict.fromkeys(rows, 0)
        self._lock = threading.Lock()

    def start(self, *row: str) -> None:
        """Make a row known, at zero."""
        with self._lock:
            self._values.setdefault(row, 0)

    def add(self, *row: str, by: int = 1) -> None:
        with self._lock:
            if row not in self._values:
                row = (OTHER,) * len(self.labels)
            self._values[row] = self._values.get(row, 0) + by

    def value(self, *row: str) -> int:
        with self._lock:
            return self._values.get(row, 0)

    def rows(self) -> list[tuple[tuple[str, ...], int]]:
        with self._lock:
            return list(self._values.items())


class ExportCounts:
    """What the exporters count; one row per output."""

    def __init__(self) -> None:
        label = ("output",)
        self.records = Counted(
            "hoptap_export_records_total",
            "Records written, shed because the queue was full, or lost to a failed output.",
            ("output", "result"),
        )
        self.errors = Counted("hoptap_export_errors_total", "Failed attempts of an output.", label)
        self.bytes = Counted("hoptap_export_bytes_total", "Bytes written by an output.", label)
        self.rotations = Counted("hoptap_export_rotations_total", "Files begun by rotation.", label)
        self.queues: dict[str, tuple[int, Callable[[], int]]] = {}  # output -> limit, length

    def start(self, output: str, queue_limit: int, queue_length: Callable[[], int]) -> None:
        """Make an output known: all its rows at zero, its queue to be read at each scrape."""
        for result in ("written", "shed", "lost"):
            self.records.start(output, result)
        for counted in (self.errors, self.bytes, self.rotations):
            counted.start(output)
        self.queues[output] = (queue_limit, queue_length)


class CoreReader(Protocol):
    """What the collector reads of a sensor/_core.pyi Source, from its own thread."""

    def counters(self) -> Mapping[str, int]: ...
    def source_stats(self) -> Sequence[Mapping[str, int]]: ...
    def operations(self) -> Sequence[tuple[str, str, int, int, int]]: ...
    def gauges(self) -> Mapping[str, int]: ...


class StreamReader(Protocol):
    """What the collector reads of sensor/streams.py."""

    @property
    def messages(self) -> Mapping[str, int]: ...
    @property
    def decode_errors(self) -> Mapping[str, int]: ...
    @property
    def contained_errors(self) -> Mapping[str, int]: ...
    @property
    def unclaimed(self) -> int: ...
    @property
    def undecoded_bytes(self) -> int: ...


class Metrics:
    """The collector: what is given to its fields is read anew at each scrape."""

    def __init__(self, version: str) -> None:
        self._version = version
        self.exports = ExportCounts()
        self.records = Counted(
            "hoptap_records_total",
            "Records made, by kind.",
            ("kind",),
            [(kind,) for kind in RECORD_KINDS],
        )
        self.history_removed = Counted(
            "hoptap_history_removed_total",
            "Records that left the history: older than keep_days, or beyond bytes_max.",
            ("reason",),
            [("age",), ("size",)],
        )
        self.interfaces: Sequence[str] = ()
        self.sources: Sequence[CoreReader] = ()
        self.streams: StreamReader | None = None
        self.decoders: Sequence[str] = ()  # names that can have errors
        self.messages: Sequence[str] = ()  # types that can be counted
        self.analysis: Callable[[], Mapping[str, int]] = dict
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}  # name -> help, reader
        self.heartbeats: Callable[[], Mapping[str, int]] = dict  # HEARTBEAT_HELP -> count
        self.sealed: Callable[[], Mapping[str, int]] = dict  # recorded? -> TLS flows
        self.keys: Callable[[], Mapping[str, Mapping[str, int]]] = dict  # input -> KEY_HELP

    def collect(self) -> Iterator["Metric"]:
        yield _gauge(
            "hoptap_build_info", "Version of the sensor; always 1.", 1, version=self._version
        )
        yield from self._core()
        yield from self._inputs()
        yield from self._streams()
        yield from self._exports()
        yield from self._keys()
        yield _counter(self.records)
        yield _counter(self.history_removed)
        yield from self._analysis()
        for name, (help_text, read) in self.gauges.items():
            yield _gauge(name, help_text, read())

    def _core(self) -> Iterator["Metric"]:
        totals = dict.fromkeys(CORE_HELP, 0)
        held = dict.fromkeys(CORE_GAUGE_HELP, 0)
        operations: dict[tuple[str, ...], int] = {}
        for source in self.sources:
            for name, count in source.counters().items():
                totals[name] = totals.get(name, 0) + count
            for name, count in source.gauges().items():
                held[name] = held.get(name, 0) + count
            for service, operation, *counts in source.operations():
                for outcome, count in zip(OUTCOMES, counts, strict=True):
                    row = (service, operation, outcome)
                    operations[row] = operations.get(row, 0) + count
        for name, total in totals.items():
            help_text = CORE_HELP.get(name, "A counter of the core.")
            value = total / 1000 if name.endswith("_ms") else total
            yield _family(core_metric(name), help_text, (), [((), value)])
        for name, value in held.items():
            full, help_text = CORE_GAUGE_HELP.get(name, (f"hoptap_{name}", "A gauge of the core."))
            yield _gauge(full, help_text, value)
        yield _family(
            "hoptap_operations_total",
            "HTTP transactions by first path segment, SOAP operation or method, and outcome.",
            ("service", "operation", "outcome"),
            operations.items(),
        )

    def _inputs(self) -> Iterator["Metric"]:
        totals = {(name, key): 0 for name in self.interfaces for key in INPUT_HELP}
        for source in self.sources:
            for name, stats in zip(self.interfaces, source.source_stats(), strict=False):
                for key in INPUT_HELP:
                    totals[name, key] += stats.get(key, 0)
        for key, (suffix, help_text) in INPUT_HELP.items():
            rows = [((name,), totals[name, key]) for name in self.interfaces]
            yield _family(f"hoptap_capture_{suffix}_total", help_text, ("interface",), rows)

    def _keys(self) -> Iterator["Metric"]:
        counts = self.keys()
        for name, help_text in KEY_HELP.items():
            rows = [((each,), counts.get(each, {}).get(name, 0)) for each in KEY_INPUTS]
            yield _family(f"hoptap_keys_{name}_total", help_text, ("input",), rows)
        help_text = "TLS flows of which nothing was decrypted; unrecorded: between no services."
        sealed = [((each,), self.sealed().get(each, 0)) for each in SEALED]
        yield _family("hoptap_tls_flows_sealed_total", help_text, ("result",), sealed)
        for name, help_text in HEARTBEAT_HELP.items():
            count = self.heartbeats().get(name, 0)
            yield _family(f"hoptap_heartbeats_{name}_total", help_text, (), [((), count)])

    def _streams(self) -> Iterator["Metric"]:
        if self.streams is None:
            return
        for name, help_text, label, known, counts in (
            (
                "messages",
                "Messages decoded, by type.",
                "type",
                self.messages,
                self.streams.messages,
            ),
            (
                "decode_errors",
                "Transactions in which the peer broke its protocol.",
                "decoder",
                self.decoders,
                self.streams.decode_errors,
            ),
            (
                "contained_errors",
                "Defects of a decoder that were contained.",
                "decoder",
                self.decoders,
                self.streams.contained_errors,
            ),
        ):
            rows = {**dict.fromkeys(known, 0), **dict(counts)}
            labelled = [((value,), count) for value, count in rows.items()]
            yield _family(f"hoptap_{name}_total", help_text, (label,), labelled)
        unclaimed, undecoded = self.streams.unclaimed, self.streams.undecoded_bytes
        for name, help_text, total in (
            ("transactions_unclaimed", "Transactions that no decoder knew.", unclaimed),
            ("undecoded_bytes", "Bytes handed up for which there is no decoder.", undecoded),
        ):
            yield _family(f"hoptap_{name}_total", help_text, (), [((), total)])

    def _analysis(self) -> Iterator["Metric"]:
        shed: list[tuple[tuple[str, ...], float]] = []
        for name, value in self.analysis().items():
            if name.endswith("_shed"):
                shed.append(((name.removesuffix("_shed"),), value))
            else:
                help_text = ANALYSIS_HELP.get(name, "A table of the analysis.")
                yield _gauge(f"hoptap_analysis_{name}", help_text, value)
        help_text = "Entries that a full table of the analysis gave up, oldest first."
        yield _family("hoptap_analysis_shed_total", help_text, ("table",), shed)

    def _exports(self) -> Iterator["Metric"]:
        exports = self.exports
        for counted in (exports.records, exports.errors, exports.bytes, exports.rotations):
            yield _counter(counted)
        lengths = [((name,), read()) for name, (_, read) in exports.queues.items()]
        limits = [((name,), limit) for name, (limit, _) in exports.queues.items()]
        for name, help_text, rows in (
            ("records", "Records waiting for an output now.", lengths),
            ("limit_records", "Most records that may wait for an output.", limits),
        ):
            yield _gauges(f"hoptap_export_queue_{name}", help_text, ("output",), rows)


def core_metric(name: str) -> str:
    """Of a counter of the core; Prometheus wants times in seconds."""
    base = name.removesuffix("_ms")
    return f"hoptap_{base}_total" if base == name else f"hoptap_{base}_seconds_total"


# prometheus_client is imported where it is used: it costs a tenth of a second that a replay saves.


def _family(
    name: str,
    help_text: str,
    labels: tuple[str, ...],
    rows: Iterable[tuple[tuple[str, ...], float]],
) -> "Metric":
    from prometheus_client.metrics_core import CounterMetricFamily

    family = CounterMetricFamily(name, help_text, labels=labels)
    for values, total in rows:
        family.add_metric(values, total)
    return family


def _counter(counted: Counted) -> "Metric":
    return _family(counted.name, counted.help_text, counted.labels, counted.rows())


def _gauges(
    name: str,
    help_text: str,
    labels: tuple[str, ...],
    rows: Iterable[tuple[tuple[str, ...], float]],
) -> "Metric":
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(name, help_text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _gauge(name: str, help_text: str, value: float, **labels: str) -> "Metric":
    return _gauges(name, help_text, tuple(labels), [(tuple(labels.values()), value)])
