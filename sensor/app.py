"""Composition root: puts sources, workers, decoders and analysis together, and drives them."""

import gc
import os
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

from decoders.forwardproxy import ForwardProxy
from decoders.message import Hasher, Message
from decoders.registry import (
    STREAM_DECODERS,
    datagram_decoders,
    stream_decoders,
    transaction_decoders,
)
from sensor import _core, keys, workers
from sensor.analysis import Analysis, AnalysisLimits
from sensor.correlate.limits import Limits
from sensor.exits import ConfigError, InputError, PrivilegeError
from sensor.knowledge import Knowledge
from sensor.lateness import Ending, InOrder
from sensor.metrics import Metrics
from sensor.privileges import CAP_NET_RAW, forbid_core_dumps, has_capability
from sensor.processes import shown
from sensor.records import Record, SensorRef
from sensor.settings import Settings
from sensor.site import Site
from sensor.streams import Streams, interest_of
from sensor.version import version
from sensor.workers import Event, Watermark, Workers

NS_PER_S = 10**9
NS_PER_MS = 10**6
# What decoding makes by the thousand has no cycles: looking for them more often finds nothing.
GC_THRESHOLD = 50_000


@dataclass(frozen=True, slots=True)
class Inputs:
    """What to read: files to their end, or interfaces until told to stop."""

    files: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    tap_ring: int = -1  # descriptor of the ring of the taps, if there are any


@dataclass(frozen=True, slots=True)
class Sensor:
    """From packets to records, ready to be driven."""

    workers: Workers
    streams: Streams
    meaning: Ending
    knowledge: Knowledge
    tapped: bool = False  # some flows may have no address

    def counted(self, name: str) -> int:
        """A counter of the core, over all workers."""
        return sum(source.counters()[name] for source in self.workers.sources)

    def close(self) -> None:
        for source in self.workers.sources:
            source.close()


def assemble(settings: Settings, hasher: Hasher, inputs: Inputs, metrics: Metrics) -> Sensor:
    """Opens the inputs, and reads private keys; for files also the key logs, whole.

    Raises InputError, ConfigError or PrivilegeError.
    """
    decoders = transaction_decoders(hasher)
    datagrams = datagram_decoders(settings.capture.heartbeat_port)
    proxy = ForwardProxy(hasher)
    interest = interest_of((*decoders, proxy), [(socket.IPPROTO_UDP, port) for port in datagrams])
    sources = _sources(settings, interest, inputs)
    try:
        _add_keys(settings, sources, inputs)
    except ConfigError:
        _close(sources)
        raise
    analysis = _analysis(settings, inputs)
    meaning = _in_order(analysis, settings, inputs)
    streams = Streams(
        decoders, meaning, framed=stream_decoders(hasher), datagrams=datagrams, proxy=proxy
    )
    sensor = Sensor(
        Workers(sources),
        streams,
        meaning,
        analysis.knowledge,
        inputs.tap_ring >= 0,
    )
    metrics.sources = sources
    metrics.interfaces = inputs.interfaces
    metrics.streams = streams
    metrics.decoders = [
        *(decoder.name for decoder in decoders),
        *(decoder.name for decoder in datagrams.values()),
        *STREAM_DECODERS,
        proxy.name,
        "proxyproto",
    ]
    metrics.messages = sorted(kind.__name__ for kind in Message.__subclasses__())
    metrics.reached = lambda: sensor.workers.reached_ns
    metrics.told.start_services(service.id for service in settings.service)
    metrics.config_hash = sha256(repr(settings).encode()).hexdigest()[:16]
    metrics.analysis = analysis.gauges
    experience = analysis.knowledge.correlator.experience
    metrics.guesses, metrics.trust = experience.guess_counts, experience.trust_by_evidence
    metrics.sealed = analysis.sealed_flows
    metrics.heartbeats = analysis.heartbeats
    return sensor


def drive(
    sensor: Sensor, deliver: Callable[[Sequence[Record]], None], turn: Callable[[], None]
) -> None:
    """Until the inputs end or are stopped: every event to records, which are delivered.

    `turn` is called between batches. Raises InputError, after everything before it has been
    delivered, and what `deliver` raises.
    """
    failure: workers.InputError | None = None
    if sensor.tapped:
        deliver = _shown_to(deliver)
    gc.freeze()  # what is there now stays
    gc.set_threshold(GC_THRESHOLD)
    with closing(sensor), closing(_events(sensor)) as events:
        try:
            for event in events:
                if isinstance(event, Watermark):
                    records = sensor.streams.advance(event.time_ns)
                    turn()
                else:
                    records = sensor.streams.event(event)
                if records:
                    deliver(records)
        except workers.InputError as error:
            failure = error
        deliver(sensor.meaning.finish())
    if failure is not None:
        raise InputError(str(failure))


def _shown_to(
    deliver: Callable[[Sequence[Record]], None],
) -> Callable[[Sequence[Record]], None]:
    return lambda records: deliver([shown(record) for record in records])


def _in_order(analysis: Analysis, settings: Settings, inputs: Inputs) -> Ending:
    """A replay has its keys before its packets."""
    if settings.keys.decrypt and inputs.interfaces:
        return InOrder(analysis, settings.keys.lag_ms * NS_PER_MS)
    return analysis


def _analysis(settings: Settings, inputs: Inputs) -> Analysis:
    correlate, sites = settings.correlate, settings.sites
    return Analysis(
        site=Site(settings.service, settings.sites.no_services),
        trusted_proxies=sites.trusted_proxies,
        alerts=settings.alerts,
        limits=AnalysisLimits(
            sessions_max=correlate.sessions_max,
            tickets_max=correlate.tickets_max,
            objects_max=correlate.objects_max,
            addresses_max=correlate.addresses_max,
            idle_timeout_ns=correlate.session_idle_timeout_s * NS_PER_S,
            correlate=Limits(
                hold_ns=correlate.hold_ms * NS_PER_MS,
                provisional_ns=correlate.provisional_ms * NS_PER_MS,
                horizon_ns=correlate.horizon_s * NS_PER_S,
                task_horizon_ns=correlate.task_horizon_s * NS_PER_S,
                actions_max=correlate.actions_max,
            ),
        ),
        sensor=SensorRef(
            id=settings.sensor.id or socket.gethostname(),
            iface=",".join(inputs.interfaces),
            version=version(),
        ),
        taps=inputs.tap_ring >= 0,
    )


def _events(sensor: Sensor) -> Generator[Event | Watermark, None, None]:
    """Closing it stops the threads, also when delivering fails."""
    yield from sensor.workers


def _add_keys(settings: Settings, sources: Sequence[_core.Source], inputs: Inputs) -> None:
    if not settings.keys.decrypt:
        return
    forbid_core_dumps()
    for path in settings.keys.rsa_keys:
        keys.add_rsa_key(path, sources)
        keys.warn_of_readers("RSA key", path)
    if inputs.files:
        keys.add_logs(settings.keys.logs, sources)


def _limits(settings: Settings, inputs: Inputs) -> dict[str, int]:
    """A replay knows its key logs beforehand: there is room for all of them."""
    limits = settings.limits
    if inputs.files and settings.keys.decrypt:
        known = keys.lines_most(settings.keys.logs)
        limits = replace(limits, tls_secrets_max=max(limits.tls_secrets_max, known))
    return asdict(limits)


def _sources(settings: Settings, interest: _core.Interest, inputs: Inputs) -> list[_core.Source]:
    capture = settings.capture
    # Sockets of one group share the packets; no other sensor on this machine may use its number.
    group = 1 + os.getpid() % 65_000  # the core adds the interface's index, up to 65535
    splits_in_kernel = inputs.interfaces and capture.workers > 1 and not capture.tunnelled
    sources: list[_core.Source] = []
    try:
        for worker in range(capture.workers if inputs.files or inputs.interfaces else 0):
            sources.append(
                _core.Source(
                    interest,
                    _limits(settings, inputs),
                    files=inputs.files,
                    interfaces=inputs.interfaces,
                    worker=worker,
                    workers=capture.workers,
                    fanout_group=group if splits_in_kernel else 0,
                    ring_bytes=capture.ring_bytes,
                    ports=capture.ports,
                    promiscuous=capture.promiscuous,
                    cut=capture.cut_sealed,
                    decrypt=settings.keys.decrypt,
                    secrets_of=sources[0] if sources else None,
                )
            )
        if inputs.tap_ring >= 0:
            sources.append(_tap_source(settings, interest, inputs, sources))
    except OSError as error:
        _close(sources)
        if inputs.interfaces and not has_capability(CAP_NET_RAW):
            raise PrivilegeError(f"{error}; capturing needs root or CAP_NET_RAW") from None
        raise InputError(str(error)) from None
    return sources


def _tap_source(
    settings: Settings,
    interest: _core.Interest,
    inputs: Inputs,
    packets: Sequence[_core.Source],
) -> _core.Source:
    """What it reads of TLS secrets is for those of packets."""
    return _core.Source(
        interest,
        _limits(settings, inputs),
        decrypt=settings.keys.decrypt,
        tap=inputs.tap_ring,
        secrets_to=tuple(packets),
    )


def _close(sources: Sequence[_core.Source]) -> None:
    for source in sources:
        source.close()
