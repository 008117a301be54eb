"""A capture of TCP and UDP 902 told to the decoders: what they say of it, and how visibly."""

import hashlib
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from decoders.message import Message
from decoders.registry import datagram_decoders, stream_decoders, transaction_decoders
from sensor import _core
from sensor.flows import Flow
from sensor.records import Record, Tls
from sensor.settings import Settings
from sensor.streams import Streams, interest_of
from sensor.tls import TlsSeen
from sensor.workers import Event, Workers
from tests.truth902 import Said

KEY_LOG = 1  # sensor/core/tls.h
UDP = 17


class Listener:
    """Takes an analysis' place: what was said, in order."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.missing_bytes = 0

    def message(
        self, flow: Flow, message: Message, visibility: str = "clear", tls: Tls | None = None
    ) -> list[Record]:
        self.said.append((flow, message, visibility))
        return []

    def tls(self, flow: Flow, seen: TlsSeen, time_ns: int) -> None:
        pass

    def tapped(self, flow: Flow, time_ns: int) -> None:
        raise AssertionError("there is no tap")

    def gap(
        self, flow: Flow, direction: int, size_bytes: int, time_ns: int, tls: Tls | None = None
    ) -> list[Record]:
        self.missing_bytes += size_bytes
        return []

    def proxy_header(
        self, flow: Flow, client_ip: str, client_port: int, time_ns: int, certificate: str = ""
    ) -> None:
        raise AssertionError("no proxy there")

    def flow_end(self, flow: Flow, time_ns: int) -> list[Record]:
        return []

    def advance(self, watermark_ns: int) -> list[Record]:
        return []


def hashed(secret: str) -> str:
    return hashlib.blake2s(secret.encode(), digest_size=8).hexdigest()


def said_of(capture: Path, secrets: bytes = b"") -> tuple[Listener, Streams]:
    """An error of ours is raised."""
    decoders, datagrams, listener = transaction_decoders(hashed), datagram_decoders(902), Listener()
    source = _core.Source(
        interest_of(decoders, [(UDP, port) for port in datagrams]),
        asdict(Settings().limits),
        files=(str(capture),),
        decrypt=bool(secrets),
    )
    framed = stream_decoders(hashed)
    streams = Streams(decoders, listener, framed=framed, datagrams=datagrams, contain=False)
    with closing(source):
        if secrets:
            assert source.add_secrets(secrets, KEY_LOG)
        for event in Workers([source]):
            if isinstance(event, Event):
                streams.event(event)
    return listener, streams
