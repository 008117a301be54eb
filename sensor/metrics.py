"""Every counter and gauge of the sensor, as one Prometheus collector.

Invariants: names are `hoptap_*` with their unit, each has a help text; every row of a closed label
set is there from the start, at zero; no user, object, session, address or other text of the
traffic becomes a label.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from sensor import families
from sensor.core_help import CORE_HELP
from sensor.counted import OTHER as OTHER
from sensor.counted import Counted as Counted
from sensor.metric_help import (
    ANALYSIS_HELP,
    CORE_GAUGE_HELP,
    CUTTER_HELP,
    HEARTBEAT_HELP,
    INPUT_HELP,
    KEY_HELP,
    KEY_INPUTS,
    SHED_HELP,
    TLS_RESULTS,
    TLS_VERSIONS,
    TUNNELS,
)
from sensor.record_counts import OUTCOMES, RecordCounts
from sensor.record_counts import RECORD_KINDS as RECORD_KINDS

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

EXPORT_RESULTS = ("written", "retried", "refused", "shed", "lost")
SPOOL_REASONS = ("size", "age", "damaged")
SEALED = ("recorded", "unrecorded")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "SOAP", OTHER)  # SOAP: any operation of it
NS_PER_S = 10**9


class ExportCounts:
    """What the exporters count; one row per output."""

    def __init__(self) -> None:
        label = ("output",)
        self.records = Counted(
            "hoptap_export_records_total",
            "Records written, sent again (retried), refused by the receiver for good, shed because "
            "the queue was full, or lost to a failed output or out of a spool.",
            ("output", "result"),
        )
        self.errors = Counted("hoptap_export_errors_total", "Failed attempts of an output.", label)
        self.bytes = Counted(
            "hoptap_export_bytes_total",
            "Bytes written by an output; to a receiver: as spooled.",
            label,
        )
        self.rotations = Counted("hoptap_export_rotations_total", "Files begun by rotation.", label)
        self.spool_dropped = Counted(
            "hoptap_export_spool_dropped_records_total",
            "Records lost out of a spool: beyond its size, its age, or damaged on disk.",
            ("output", "reason"),
        )
        self.queues: dict[str, tuple[int, Callable[[], int]]] = {}  # output -> limit, length
        self.spools: dict[str, tuple[int, Callable[[], int]]] = {}  # output -> limit, bytes
        self.connected: dict[str, bool] = {}  # output -> does its receiver take records?
        self.last_ack_s: dict[str, float] = {}  # output -> Unix time

    def start(self, output: str, queue_limit: int, queue_length: Callable[[], int]) -> None:
        """Make an output known: all its rows at zero, its queue to be read at each scrape."""
        self._start_rows(output)
        self.queues[output] = (queue_limit, queue_length)

    def start_receiver(self, output: str) -> None:
        """Make the receiver of an output known: not connected, and nothing acknowledged yet."""
        self._start_rows(output)
        self.connected[output] = False
        self.last_ack_s[output] = 0.0

    def start_spool(self, output: str, bytes_limit: int, bytes_used: Callable[[], int]) -> None:
        for reason in SPOOL_REASONS:
            self.spool_dropped.start(output, reason)
        self.spools[output] = (bytes_limit, bytes_used)

    def _start_rows(self, output: str) -> None:
        for result in EXPORT_RESULTS:
            self.records.start(output, result)
        for counted in (self.errors, self.bytes, self.rotations):
            counted.start(output)


class CoreReader(Protocol):
    """What the collector reads of a sensor/_core.pyi Source, from its own thread."""

    def counters(self) -> Mapping[str, int]: ...
    def source_stats(self) -> Sequence[Mapping[str, int]]: ...
    def operations(self) -> Sequence[tuple[str, str, int, int, int]]: ...
    def tls_sessions(self) -> Sequence[tuple[str, str, int]]: ...
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
        self.told = RecordCounts()
        self.records = self.told.kinds
        self.history_removed = Counted(
            "hoptap_history_removed_total",
            "Records that left the history: older than keep_days, or beyond bytes_max.",
            ("reason",),
            [("age",), ("size",)],
        )
        self.config_hash = ""  # of the settings in force; "": none were read
        self.interfaces: Sequence[str] = ()
        self.sources: Sequence[CoreReader] = ()
        self.streams: StreamReader | None = None
        self.decoders: Sequence[str] = ()  # names that can have errors
        self.messages: Sequence[str] = ()  # types that can be counted
        self.reached: Callable[[], int] = int  # packet time up to which all was taken
        self.analysis: Callable[[], Mapping[str, int]] = dict
        # kind of the call above, of the call, right | wrong -> hops guessed with their key hidden
        self.guesses: Callable[[], Mapping[tuple[str, ...], int]] = dict
        self.trust: Callable[[], Mapping[str, float]] = dict  # evidence -> share
        self.counted: list[Counted] = []  # counters of parts that not every run has
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}  # name -> help, reader
        self.heartbeats: Callable[[], Mapping[str, int]] = dict  # HEARTBEAT_HELP -> count
        self.sealed: Callable[[], Mapping[str, int]] = dict  # recorded? -> TLS flows
        self.keys: Callable[[], Mapping[str, Mapping[str, int]]] = dict  # input -> KEY_HELP

    def collect(self) -> Iterator["Metric"]:
        yield families.gauge(
            "hoptap_build_info", "Version of the sensor; always 1.", 1, version=self._version
        )
        yield families.gauge(
            "hoptap_config_info",
            "Hash of the settings in force, as another sensor of the site may share; always 1.",
            1,
            sha256=self.config_hash,
        )
        yield from self._core()
        yield from self._tls()
        yield from self._inputs()
        yield from self._streams()
        yield from self._exports()
        yield from self._keys()
        yield from self._told()
        yield families.counted(self.history_removed)
        yield from self._analysis()
        yield from self._accuracy()
        for counted in self.counted:
            yield families.counted(counted)
        for name, (help_text, read) in self.gauges.items():
            yield families.gauge(name, help_text, read())

    def _told(self) -> Iterator["Metric"]:
        told = self.told
        for counted in (told.kinds, told.logins, told.hops, told.actions, told.amendments):
            yield families.counted(counted)
        yield families.observed(told.delay)

    def _core(self) -> Iterator["Metric"]:
        totals = self._totals()
        for name, total in totals.items():
            if core_metric(name):
                value = total / 1000 if name.endswith("_ms") else total
                help_text = CORE_HELP.get(name, "A counter of the core.")
                yield families.counter(core_metric(name), help_text, (), [((), value)])
        tunnels = [((each,), totals[f"decap_tunnel_{each}"]) for each in TUNNELS]
        help_text = "Packets out of a tunnel, by the innermost one."
        yield families.counter("hoptap_decap_packets_total", help_text, ("tunnel",), tunnels)
        yield _key_wait(totals)
        held = dict.fromkeys(CORE_GAUGE_HELP, 0)
        operations = {(method, outcome): 0 for method in METHODS for outcome in OUTCOMES}
        for source in self.sources:
            for name, count in source.gauges().items():
                held[name] = held.get(name, 0) + count
            for _, operation, *counts in source.operations():
                method = _method_of(operation)
                for outcome, count in zip(OUTCOMES, counts, strict=True):
                    operations[method, outcome] += count
        for name, value in held.items():
            full, help_text = CORE_GAUGE_HELP.get(name, (f"hoptap_{name}", "A gauge of the core."))
            yield families.gauge(full, help_text, value)
        help_text = "HTTP transactions by method, or SOAP, and outcome."
        labels = ("method", "outcome")
        yield families.counter("hoptap_operations_total", help_text, labels, operations.items())

    def _totals(self) -> dict[str, int]:
        totals = dict.fromkeys(CORE_HELP, 0)
        for source in self.sources:
            for name, count in source.counters().items():
                totals[name] = totals.get(name, 0) + count
        return totals

    def _tls(self) -> Iterator["Metric"]:
        sessions = {(era, result): 0 for era in TLS_VERSIONS for result in TLS_RESULTS}
        for source in self.sources:
            for era, result, count in source.tls_sessions():
                sessions[era, result] += count
        meanings = "; ".join(f"{result}: {meaning}" for result, meaning in TLS_RESULTS.items())
        help_text = f"TLS sessions that ended, by what became of them. {meanings}."
        labels = ("version", "result")
        yield families.counter("hoptap_tls_sessions_total", help_text, labels, sessions.items())

    def _inputs(self) -> Iterator["Metric"]:
        known = INPUT_HELP | CUTTER_HELP
        totals = {(name, key): 0 for name in self.interfaces for key in known}
        last_ns = dict.fromkeys(self.interfaces, 0)
        cutting: set[str] = set()
        for source in self.sources:
            for name, stats in zip(self.interfaces, source.source_stats(), strict=False):
                last_ns[name] = max(last_ns[name], stats.get("last_ns", 0))
                cutting |= {name} if "cut" in stats else set()
                for key in known:
                    totals[name, key] += stats.get(key, 0)
        for key, (suffix, help_text) in known.items():
            counting = cutting if key in CUTTER_HELP else self.interfaces
            rows = [((name,), totals[name, key]) for name in self.interfaces if name in counting]
            yield families.counter(
                f"hoptap_capture_{suffix}_total", help_text, ("interface",), rows
            )
        yield families.gauges(
            "hoptap_capture_last_packet_timestamp_seconds",
            "Time of the last packet of an interface; 0 before the first.",
            ("interface",),
            [((name,), at_ns / NS_PER_S) for name, at_ns in last_ns.items()],
        )
        reached_ns = self.reached()
        lag_s = max(0.0, time.time() - reached_ns / NS_PER_S) if reached_ns else 0.0
        help_text = "How far what was analysed is behind the clock; some 0.1 on a quiet link."
        yield families.gauge("hoptap_capture_lag_seconds", help_text, lag_s)

    def _keys(self) -> Iterator["Metric"]:
        counts = self.keys()
        for name, help_text in KEY_HELP.items():
            rows = [((each,), counts.get(each, {}).get(name, 0)) for each in KEY_INPUTS]
            yield families.counter(f"hoptap_keys_{name}_total", help_text, ("input",), rows)
        help_text = "TLS flows of which nothing was decrypted; unrecorded: between no services."
        sealed = [((each,), self.sealed().get(each, 0)) for each in SEALED]
        yield families.counter("hoptap_tls_flows_sealed_total", help_text, ("result",), sealed)
        for name, help_text in HEARTBEAT_HELP.items():
            count = self.heartbeats().get(name, 0)
            yield families.counter(f"hoptap_heartbeats_{name}_total", help_text, (), [((), count)])

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
            yield families.counter(f"hoptap_{name}_total", help_text, (label,), labelled)
        unclaimed, undecoded = self.streams.unclaimed, self.streams.undecoded_bytes
        for name, help_text, total in (
            ("transactions_unclaimed", "Transactions that no decoder knew.", unclaimed),
            ("undecoded_bytes", "Bytes handed up for which there is no decoder.", undecoded),
        ):
            yield families.counter(f"hoptap_{name}_total", help_text, (), [((), total)])

    def _accuracy(self) -> Iterator["Metric"]:
        help_text = "Hops with a key, guessed without it, by service and verb of both ends."
        labels = ("parent", "child", "result")
        guesses = self.guesses().items()
        yield families.counter("hoptap_correlation_guesses_total", help_text, labels, guesses)
        help_text = "Share of guesses that are right, by the evidence they rest on."
        trust = [((name,), share) for name, share in self.trust().items()]
        yield families.gauges("hoptap_correlation_trust_ratio", help_text, ("evidence",), trust)

    def _analysis(self) -> Iterator["Metric"]:
        shed: list[tuple[tuple[str, ...], float]] = []
        for name, value in self.analysis().items():
            if name.endswith("_shed"):
                shed.append(((name.removesuffix("_shed"),), value))
            else:
                help_text = ANALYSIS_HELP.get(name, "A table of the analysis.")
                yield families.gauge(f"hoptap_analysis_{name}", help_text, value)
        meanings = "; ".join(f"{name}: {meaning}" for name, meaning in SHED_HELP.items())
        help_text = f"Entries that a full table of the analysis gave up. {meanings}."
        yield families.counter("hoptap_analysis_shed_total", help_text, ("table",), shed)

    def _exports(self) -> Iterator["Metric"]:
        exports = self.exports
        for counted in (exports.records, exports.errors, exports.bytes, exports.rotations):
            yield families.counted(counted)
        yield families.counted(exports.spool_dropped)
        yield from self._receivers()
        lengths = [((name,), read()) for name, (_, read) in exports.queues.items()]
        limits = [((name,), limit) for name, (limit, _) in exports.queues.items()]
        for name, help_text, rows in (
            ("records", "Records waiting for an output now.", lengths),
            ("limit_records", "Most records that may wait for an output.", limits),
        ):
            yield families.gauges(f"hoptap_export_queue_{name}", help_text, ("output",), rows)

    def _receivers(self) -> Iterator["Metric"]:
        exports = self.exports
        used = [((name,), read()) for name, (_, read) in exports.spools.items()]
        limits = [((name,), limit) for name, (limit, _) in exports.spools.items()]
        connected = [((name,), float(each)) for name, each in exports.connected.items()]
        acks = [((name,), at_s) for name, at_s in exports.last_ack_s.items()]
        for name, help_text, rows in (
            ("spool_bytes", "Bytes in a spool that wait for the receiver now.", used),
            ("spool_limit_bytes", "Most bytes that a spool may take.", limits),
            ("connected", "1 while the receiver takes records, 0 while it does not.", connected),
            ("last_ack_timestamp_seconds", "When a receiver last took a record; 0: never.", acks),
        ):
            yield families.gauges(f"hoptap_export_{name}", help_text, ("output",), rows)


def core_metric(name: str) -> str:
    """Of a counter of the core; "" when it is a part of a family with labels, or of a histogram.

    Prometheus wants times in seconds.
    """
    if name.startswith(("decap_tunnel_", "tls_sessions_", "tls_key_wait")):
        return ""
    base = name.removesuffix("_ms")
    return f"hoptap_{base}_total" if base == name else f"hoptap_{base}_seconds_total"


def _method_of(operation: str) -> str:
    """The names of SOAP operations come from the traffic, so they are no label."""
    if operation in METHODS:
        return operation
    return OTHER if operation == operation.upper() else "SOAP"


def _key_wait(totals: Mapping[str, int]) -> "Metric":
    prefix = "tls_key_waits_le_"
    bounds_ms = {int(name[len(prefix) : -2]): n for name, n in totals.items() if prefix in name}
    counts = [*bounds_ms.values(), totals["tls_key_waits"] - sum(bounds_ms.values())]
    return families.histogram(
        "hoptap_tls_key_wait_seconds",
        "Packet time that ciphertext waited for the key that opened it.",
        [bound_ms / 1000 for bound_ms in bounds_ms],
        counts,
        totals["tls_key_wait_ms"] / 1000,
    )
