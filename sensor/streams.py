"""Dispatches the core's events to decoders, and what they say to the analysis.

A DecodeError loses the message, on a flow of framed messages also what follows, and is counted. Any
other exception of a decoder is our bug: it is contained here, counted, and logged by type and place
only, because its text could quote the traffic.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from decoders import proxyproto
from decoders.decoder import (
    DatagramDecoder,
    StreamDecoder,
    StreamDecoderFactory,
    TransactionDecoder,
)
from decoders.forwardproxy import ForwardProxy, is_refused
from decoders.message import (
    CONNECTION,
    DecodeError,
    Direction,
    Framed,
    FramedFlag,
    Login,
    LoginMethod,
    Message,
    Transaction,
    TransactionFlag,
)
from sensor import _core
from sensor.flows import Flow
from sensor.records import Record, Tls
from sensor.tls import TlsSeen, tls_of
from sensor.workers import Event

log = logging.getLogger(__name__)


class Meaning(Protocol):
    """What the streams feed; sensor/analysis.py."""

    def message(
        self, flow: Flow, message: Message, visibility: str = ..., tls: Tls | None = ...
    ) -> list[Record]: ...
    def tls(self, flow: Flow, seen: TlsSeen, time_ns: int) -> None: ...
    def tapped(self, flow: Flow, time_ns: int) -> None: ...
    def gap(
        self, flow: Flow, direction: int, size_bytes: int, time_ns: int, tls: Tls | None = ...
    ) -> list[Record]: ...
    def proxy_header(
        self, flow: Flow, client_ip: str, client_port: int, time_ns: int, certificate: str = ""
    ) -> None: ...
    def flow_end(self, flow: Flow, time_ns: int) -> list[Record]: ...
    def advance(self, watermark_ns: int) -> list[Record]: ...


def interest_of(
    decoders: Iterable[TransactionDecoder | ForwardProxy], ports: Iterable[tuple[int, int]] = ()
) -> _core.Interest:
    """What the core must hand up for these decoders, and for streams at these (protocol, port)."""
    interest = _core.Interest()
    for decoder in decoders:
        for rule in decoder.rules():
            if rule.operation:
                interest.operation(rule.operation, rule.want, rule.request_has, rule.response_has)
            else:
                interest.path(
                    rule.method or "*", rule.path, rule.want, rule.request_has, rule.response_has
                )
        for name in decoder.token_headers():
            interest.token_header(name)
        for name in decoder.token_cookies():
            interest.token_cookie(name)
        for name in decoder.object_properties():
            interest.object_property(name)
    for protocol, port in ports:
        interest.port(protocol, port)
    return interest


@dataclass(slots=True)
class _Stream:
    """A flow of framed messages."""

    decoder: StreamDecoder | None = None  # None: the peer broke the protocol
    visibility: str = "clear"  # of what was last learned of it
    tls_session: int = 0  # the last one


class Streams:
    """Feeds every event to the decoder that claims it; returns the records that follow from it."""

    def __init__(
        self,
        decoders: Sequence[TransactionDecoder],
        meaning: Meaning,
        *,
        framed: Mapping[int, StreamDecoderFactory] | None = None,
        datagrams: Mapping[int, DatagramDecoder] | None = None,
        proxy: ForwardProxy | None = None,
        contain: bool = True,
    ) -> None:
        """`framed` by the framing that a flow begins with, `datagrams` by the server's port."""
        self._decoders = decoders
        self._framed = framed or {}
        self._datagrams = datagrams or {}
        self._proxy = proxy
        self._meaning = meaning
        self._contain = contain  # tests set it to False, so that a bug is seen
        self._time_ns = 0
        self._tls: dict[Flow, Tls] = {}  # as last seen, until the flow ends
        self._sessions: dict[Flow, tuple[int, bool]] = {}  # the last one, and whether it is open
        self._streams: dict[Flow, _Stream] = {}
        self.messages: Counter[str] = Counter()  # by message type
        self.decode_errors: Counter[str] = Counter()  # by decoder
        self.contained_errors: Counter[str] = Counter()  # by decoder
        self._steps: dict[int, Callable[[Event], list[Record]]] = {
            _core.TRANSACTION: self._transaction,
            _core.MESSAGE: self._message,
            _core.DATAGRAM: self._datagram,
            _core.CHUNK: self._undecoded,
            _core.GAP: self._gap,
            _core.TLS: self._told_tls,
            _core.FLOW: self._tapped,
            _core.PROXY_HEADER: self._proxy_header,
            _core.FLOW_END: self._flow_end,
        }
        self.unclaimed = 0  # transactions no decoder knew
        self.undecoded_bytes = 0  # stream bytes and datagrams without a decoder

    def event(self, event: Event) -> list[Record]:
        records = self.advance(event.time_ns)
        step = self._steps.get(event.kind)
        return records + step(event) if step is not None else records

    def advance(self, time_ns: int) -> list[Record]:
        """Packet time has reached time_ns: what was waiting for that is decided."""
        if time_ns <= self._time_ns:
            return []
        self._time_ns = time_ns
        return self._meaning.advance(time_ns)

    def _transaction(self, event: Event) -> list[Record]:
        transaction = Transaction._make(event.value)
        decrypted = bool(transaction.flags & TransactionFlag.DECRYPTED)
        messages = self._of_proxy(transaction)
        decoder = next((each for each in self._decoders if each.claims(transaction)), None)
        if is_refused(transaction):
            pass  # it reached no service
        elif decoder is not None:
            messages += self._decode(decoder.name, lambda: decoder.transaction(transaction)) or []
        elif not messages:
            self.unclaimed += 1
        return self._mean(event.flow, messages, _visibility(event.flow, decrypted))

    def _of_proxy(self, transaction: Transaction) -> list[Message]:
        """A forward proxy passes on any protocol: its client's account is read beside it."""
        proxy = self._proxy
        if proxy is None or not proxy.concerns(transaction):
            return []
        return self._decode(proxy.name, lambda: proxy.transaction(transaction)) or []

    def _message(self, event: Event) -> list[Record]:
        framed = Framed._make(event.value)
        stream = self._streams.get(event.flow)
        if stream is None:
            stream = self._begin(event, framed)
        stream.visibility = _visibility(event.flow, bool(framed.flags & FramedFlag.DECRYPTED))
        decoder, direction = stream.decoder, Direction(event.direction)
        if decoder is None:
            return []
        return self._ask(
            event.flow, stream, lambda: decoder.message(direction, framed, event.time_ns)
        )

    def _begin(self, event: Event, framed: Framed) -> _Stream:
        make = self._framed.get(framed.protocol)
        self._streams[event.flow] = stream = _Stream()
        if make is None:
            return stream
        stream.decoder = decoder = make(f"{CONNECTION}{event.flow.uid}")
        known = self._sessions.get(event.flow)
        if known is not None:  # a flow that begins with TLS
            stream.tls_session = known[0]
            decoder.tls(*known, event.time_ns)
        return stream

    def _datagram(self, event: Event) -> list[Record]:
        decoder = self._datagrams.get(event.flow.server_port)
        if decoder is None or event.direction != _core.TO_SERVER:
            return self._undecoded(event)
        messages = self._decode(decoder.name, lambda: decoder.datagram(event.value, event.time_ns))
        return self._mean(event.flow, messages, "clear")

    def _undecoded(self, event: Event) -> list[Record]:
        self.undecoded_bytes += len(event.value)
        return []

    def _gap(self, event: Event) -> list[Record]:
        flow, direction, time_ns = event.flow, Direction(event.direction), event.time_ns
        records = self._ask_stream(
            flow, lambda decoder: decoder.gap(direction, event.value, time_ns)
        )
        return records + self._meaning.gap(
            flow, event.direction, event.value, time_ns, self._tls.get(flow)
        )

    def _told_tls(self, event: Event) -> list[Record]:
        seen = TlsSeen._make(event.value)
        told = seen.session, seen.is_decrypted
        self._tls[event.flow] = tls_of(seen)
        self._sessions[event.flow] = told
        self._meaning.tls(event.flow, seen, event.time_ns)
        records = self._ask_stream(event.flow, lambda decoder: decoder.tls(*told, event.time_ns))
        stream = self._streams.get(event.flow)
        if stream is not None and seen.session > stream.tls_session:
            stream.tls_session = seen.session
            if not seen.is_decrypted:
                stream.visibility = "metadata"
        return records

    def _tapped(self, event: Event) -> list[Record]:
        self._meaning.tapped(event.flow, event.time_ns)
        return []

    def _flow_end(self, event: Event) -> list[Record]:
        *_packets, to_server, to_client = event.value
        records = self._ask_stream(
            event.flow, lambda decoder: decoder.close(event.time_ns, to_server, to_client)
        )
        self._tls.pop(event.flow, None)
        self._sessions.pop(event.flow, None)
        self._streams.pop(event.flow, None)
        return records + self._meaning.flow_end(event.flow, event.time_ns)

    def _ask_stream(
        self, flow: Flow, ask: Callable[[StreamDecoder], list[Message]]
    ) -> list[Record]:
        """What the flow's decoder, if it has one, says to something that is no message."""
        stream = self._streams.get(flow) if self._streams else None
        decoder = stream.decoder if stream is not None else None
        if stream is None or decoder is None:
            return []
        return self._ask(flow, stream, lambda: ask(decoder))

    def _ask(self, flow: Flow, stream: _Stream, ask: Callable[[], list[Message]]) -> list[Record]:
        """An error loses the flow's decoder: it no longer knows where it is."""
        assert stream.decoder is not None
        messages = self._decode(stream.decoder.name, ask)
        if messages is None:
            stream.decoder = None
        return self._mean(flow, messages, stream.visibility)

    def _mean(self, flow: Flow, messages: list[Message] | None, visibility: str) -> list[Record]:
        records: list[Record] = []
        tls = self._tls.get(flow)
        for message in messages or ():
            self.messages[type(message).__name__] += 1
            known = _completed(message, flow, tls)
            records += self._meaning.message(flow, known, visibility, tls)
        return records

    def _decode(self, name: str, ask: Callable[[], list[Message]]) -> list[Message] | None:
        """None: an error, counted."""
        try:
            return ask()
        except DecodeError:
            self.decode_errors[name] += 1
        except Exception as error:
            self._contained(name, error)
        return None

    def _proxy_header(self, event: Event) -> list[Record]:
        try:
            header = proxyproto.parse(event.value)
        except DecodeError:
            self.decode_errors["proxyproto"] += 1
            return []
        if header.client_address:
            self._meaning.proxy_header(
                event.flow,
                header.client_address,
                header.client_port,
                event.time_ns,
                header.certificate_name,
            )
        return []

    def _contained(self, name: str, error: Exception) -> None:
        if not self._contain:
            raise error
        self.contained_errors[name] += 1
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        line = place.tb_lineno if place is not None else 0
        log.error("decoder %s: %s at line %d, contained", name, type(error).__name__, line)


def _visibility(flow: Flow, decrypted: bool) -> str:
    if flow.tapped:
        return "tapped"
    return "decrypted" if decrypted else "clear"


def _completed(message: Message, flow: Flow, tls: Tls | None) -> Message:
    """With what no decoder knows: the flow's own session, and whose a client's certificate is."""
    if message.token == CONNECTION:
        message = replace(message, token=f"{CONNECTION}{flow.uid}")
    if isinstance(message, Login) and message.method is LoginMethod.CERTIFICATE:
        subject = tls.client_subject if tls is not None else ""
        if subject and not message.user:
            return replace(message, user=subject)
    return message
