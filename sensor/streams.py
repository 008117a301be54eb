"""Dispatches the core's events to decoders, and what they say to the analysis.

A DecodeError loses the message and is counted. Any other exception of a decoder is our bug: it is
contained here, counted, and logged by type and place only, because its text could quote the
traffic.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from decoders import proxyproto
from decoders.message import (
    DecodeError,
    Message,
    Transaction,
    TransactionDecoder,
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
    def gap(
        self, flow: Flow, direction: int, size_bytes: int, time_ns: int, tls: Tls | None = ...
    ) -> list[Record]: ...
    def proxy_header(self, flow: Flow, client_ip: str, client_port: int, time_ns: int) -> None: ...
    def flow_end(self, flow: Flow, time_ns: int) -> list[Record]: ...
    def advance(self, watermark_ns: int) -> list[Record]: ...


def interest_of(
    decoders: Iterable[TransactionDecoder], ports: Iterable[tuple[int, int]] = ()
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


class Streams:
    """Feeds every event to the decoder that claims it; returns the records that follow from it."""

    def __init__(
        self, decoders: Sequence[TransactionDecoder], meaning: Meaning, *, contain: bool = True
    ) -> None:
        self._decoders = decoders
        self._meaning = meaning
        self._contain = contain  # tests set it to False, so that a bug is seen
        self._time_ns = 0
        self._tls: dict[Flow, Tls] = {}  # as last seen, until the flow ends
        self.messages: Counter[str] = Counter()  # by message type
        self.decode_errors: Counter[str] = Counter()  # by decoder
        self.contained_errors: Counter[str] = Counter()  # by decoder
        self.unclaimed = 0  # transactions no decoder knew
        self.undecoded_bytes = 0  # stream bytes and datagrams without a decoder

    def event(self, event: Event) -> list[Record]:
        records = self.advance(event.time_ns)
        match event.kind:
            case _core.TRANSACTION:
                records += self._transaction(event.flow, Transaction._make(event.value))
            case _core.GAP:
                records += self._meaning.gap(
                    event.flow,
                    event.direction,
                    event.value,
                    event.time_ns,
                    self._tls.get(event.flow),
                )
            case _core.TLS:
                seen = TlsSeen._make(event.value)
                self._tls[event.flow] = tls_of(seen)
                self._meaning.tls(event.flow, seen, event.time_ns)
            case _core.PROXY_HEADER:
                self._proxy_header(event)
            case _core.CHUNK | _core.DATAGRAM:
                self.undecoded_bytes += len(event.value)
            case _core.FLOW_END:
                self._tls.pop(event.flow, None)
                records += self._meaning.flow_end(event.flow, event.time_ns)
        return records

    def advance(self, time_ns: int) -> list[Record]:
        """Packet time has reached time_ns: what was waiting for that is decided."""
        if time_ns <= self._time_ns:
            return []
        self._time_ns = time_ns
        return self._meaning.advance(time_ns)

    def _transaction(self, flow: Flow, transaction: Transaction) -> list[Record]:
        for decoder in self._decoders:
            if decoder.claims(transaction):
                messages = self._decode(decoder, transaction)
                break
        else:
            self.unclaimed += 1
            return []
        records: list[Record] = []
        decrypted = transaction.flags & TransactionFlag.DECRYPTED
        visibility, tls = "decrypted" if decrypted else "clear", self._tls.get(flow)
        for message in messages:
            self.messages[type(message).__name__] += 1
            records += self._meaning.message(flow, message, visibility, tls)
        return records

    def _decode(self, decoder: TransactionDecoder, transaction: Transaction) -> list[Message]:
        try:
            return decoder.transaction(transaction)
        except DecodeError:
            self.decode_errors[decoder.name] += 1
        except Exception as error:
            self._contained(decoder.name, error)
        return []

    def _proxy_header(self, event: Event) -> None:
        try:
            header = proxyproto.parse(event.value)
        except DecodeError:
            self.decode_errors["proxyproto"] += 1
            return
        if header.client_address:
            self._meaning.proxy_header(
                event.flow, header.client_address, header.client_port, event.time_ns
            )

    def _contained(self, name: str, error: Exception) -> None:
        if not self._contain:
            raise error
        self.contained_errors[name] += 1
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        line = place.tb_lineno if place is not None else 0
        log.error("decoder %s: %s at line %d, contained", name, type(error).__name__, line)
