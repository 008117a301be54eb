"""Mutated messages of port 902 through the decoders, alone and behind the core.

`python -m tests.fuzz.messages --count 1000000`: so many of each protocol, half of them straight to
the decoder, half as packets. Whatever they are, there are messages or a DecodeError, and no secret.
"""

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random

from decoders.decoder import DatagramDecoder, StreamDecoder, StreamDecoderFactory
from decoders.message import (
    DecodeError,
    Direction,
    Framed,
    FramedFlag,
    Framing,
    Message,
)
from decoders.registry import datagram_decoders, stream_decoders
from sensor import _core
from sensor.flows import Flow
from sensor.hashing import KeyedHasher
from sensor.records import Record, Tls
from sensor.streams import Meaning, Streams, interest_of
from sensor.tls import TlsSeen
from sensor.workers import Event, Workers
from tests.conversation import START_NS, STEP_NS, Conversation
from tests.fuzz.corpus902 import TALKS, Talk, shows_canary
from tests.fuzz.mutation import mutated, mutated_talk
from tests.impair import Packet, write_pcap
from tests.sensor.core_events import limits

PORT = 902
TALKS_KEPT = 300  # valid conversations, of which each is mutated many times
TALKS_PER_FILE = 400
TCP, UDP = 6, 17
_HASHER = KeyedHasher(bytes(32))
_LINE = re.compile(rb"[A-Z0-9_]{3,}[ -~]*\r\n")
_FRAMINGS = {
    "authd": Framing.AUTHD,
    "nfc": Framing.NFC,
    "aio": Framing.NFC_AIO,
    "vix": Framing.VIX,
}


class Leak(AssertionError):
    """A decoder said something of a secret."""


@dataclass(slots=True)
class Tally:
    """What came of the messages given."""

    given: int = 0
    said: Counter[str] = field(default_factory=Counter)
    errors: int = 0

    def summary(self) -> str:
        said = ", ".join(f"{count} {name}" for name, count in sorted(self.said.items()))
        return f"{self.given} messages, {self.errors} refused, said {said}"

    def hear(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if not isinstance(message, Message):
                raise AssertionError(f"{type(message).__name__} is no message")
            if shows_canary(repr(message).replace(message.token, "")):
                raise Leak(repr(message))
            self.said[type(message).__name__] += 1


def talks_of(protocol: str, seed: int, count: int) -> list[Talk]:
    random = Random(f"{protocol} {seed}")
    return [TALKS[protocol](random) for _ in range(count)]


def straight(protocol: str, count: int, seed: int = 0, talks_kept: int = TALKS_KEPT) -> Tally:
    """Each piece of a conversation is a message, as it would be if the core kept nothing back.

    What the core leaves out of a line, the argument of PASS, is left out here.
    """
    random, tally, talks = Random(seed), Tally(), talks_of(protocol, seed, talks_kept)
    factories = stream_decoders(_HASHER)
    while tally.given < count:
        talk = random.choice(talks)
        if protocol == "heartbeat":
            _datagrams(datagram_decoders(PORT)[PORT], random, talk, tally)
            continue
        _messages(factories, list(_framings(protocol, random, talk)), random, tally)
    return tally


def _datagrams(decoder: DatagramDecoder, random: Random, talk: Talk, tally: Tally) -> None:
    for _, data in talk.pieces:
        tally.given += 1
        try:
            tally.hear(decoder.datagram(mutated(random, data), tally.given))
        except DecodeError:
            tally.errors += 1


def _framings(
    protocol: str, random: Random, talk: Talk
) -> Iterable[tuple[Direction, Framing, bytes]]:
    """Lines without their ends before the hand-over, mutated messages after it."""
    in_lines = protocol == "authd"
    for number, (by_client, data) in enumerate(talk.pieces):
        direction = Direction.TO_SERVER if by_client else Direction.TO_CLIENT
        is_line = in_lines or (number < talk.fixed and _LINE.fullmatch(data) is not None)
        framing = Framing.AUTHD if is_line else _FRAMINGS[protocol]
        data = data.removesuffix(b"\r\n") if is_line else data
        if is_line and data.startswith(b"PASS "):
            data = b"PASS"
        yield direction, framing, data if number < talk.fixed else mutated(random, data)


def _messages(
    factories: Mapping[int, StreamDecoderFactory],
    framings: Sequence[tuple[Direction, Framing, bytes]],
    random: Random,
    tally: Tally,
) -> None:
    """After an error the flow would be lost; here a new decoder meets the rest of it."""
    now = START_NS
    decoder: StreamDecoder | None = None
    for direction, framing, data in framings:
        now += STEP_NS
        tally.given += 1
        if decoder is None:
            decoder = factories[framing]("flow:" + str(tally.given))
        flags = random.choice((0, 0, 0, FramedFlag.CUT, FramedFlag.BULK))
        framed = Framed(framing, flags, 0, len(data), now - 1, data)
        try:
            if random.random() < 0.02:
                tally.hear(decoder.gap(direction, random.getrandbits(20), now))
            tally.hear(decoder.message(direction, framed, now))
        except DecodeError:
            tally.errors += 1
            decoder = None
    if decoder is not None:
        tally.hear(decoder.close(now, random.getrandbits(20), random.getrandbits(20)))


def through_core(
    protocol: str, count: int, directory: Path, seed: int = 0, talks_kept: int = TALKS_KEPT
) -> Tally:
    """Packets of mutated conversations, split anywhere, into files, and those through the core."""
    random, tally, talks = Random(seed + 1), Tally(), talks_of(protocol, seed, talks_kept)
    while tally.given < count:
        packets: list[Packet] = []
        for number in range(TALKS_PER_FILE):
            talk = mutated_talk(random, random.choice(talks), keep_lines=protocol == "authd")
            tally.given += len(talk.pieces)
            packets += packets_of(protocol, random, number, talk, START_NS)
            if tally.given >= count:
                break
        streams = decode(write_pcap(directory / "mutated.pcap", packets), _Heard(tally))
        tally.errors += streams.decode_errors.total()
    return tally


def packets_of(
    protocol: str, random: Random, number: int, talk: Talk, start_ns: int
) -> list[Packet]:
    """One flow, of a client of its own."""
    client, port = f"10.9.{number >> 8}.{number & 255}", 20000 + number
    conversation = Conversation(client, port, "10.3.3.10", PORT)
    if protocol == "heartbeat":
        addresses = conversation.packets(start_ns)[0].frame[:34]  # Ethernet and IPv4
        return [_datagram(addresses, port, data, start_ns) for _, data in talk.pieces]
    for by_client, data in talk.pieces:
        for part in split(random, data):
            conversation.parts.append((by_client, part))
    return conversation.packets(start_ns)


def split(random: Random, data: bytes) -> list[bytes]:
    """In one to four parts, or byte by byte."""
    if len(data) < 80 and random.random() < 0.02:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.choice((0, 0, 1, 3))))
    ends = [0, *cuts, len(data)]
    return [part for low, high in pairwise(ends) if (part := data[low:high])]


def _datagram(addresses: bytes, client_port: int, data: bytes, start_ns: int) -> Packet:
    frame = bytearray(addresses)
    frame[14 + 9] = UDP
    frame[14 + 2 : 14 + 4] = (28 + len(data)).to_bytes(2, "big")
    ports = client_port.to_bytes(2, "big") + PORT.to_bytes(2, "big")
    whole = bytes(frame) + ports + (8 + len(data)).to_bytes(2, "big") + bytes(2) + data
    return Packet(start_ns, whole, len(whole))


class _Heard:
    """What the streams say their messages to."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def message(
        self, flow: Flow, message: Message, visibility: str = "clear", tls: Tls | None = None
    ) -> list[Record]:
        self._tally.hear([message])
        return []

    def tls(self, flow: Flow, seen: TlsSeen, time_ns: int) -> None:
        pass  # a mutant that looks like a handshake

    def tapped(self, flow: Flow, time_ns: int) -> None:
        raise AssertionError("there is no tap")

    def gap(
        self, flow: Flow, direction: int, size_bytes: int, time_ns: int, tls: Tls | None = None
    ) -> list[Record]:
        return []

    def proxy_header(
        self, flow: Flow, client_ip: str, client_port: int, time_ns: int, certificate: str = ""
    ) -> None:
        pass

    def flow_end(self, flow: Flow, time_ns: int) -> list[Record]:
        return []

    def advance(self, watermark_ns: int) -> list[Record]:
        return []


def decode(capture: Path, meaning: Meaning) -> Streams:
    """The capture through the core and the decoders of port 902; a decoder's bug is raised."""
    interest = interest_of((), ((TCP, PORT), (UDP, PORT)))
    streams = Streams(
        [],
        meaning,
        framed=stream_decoders(_HASHER),
        datagrams=datagram_decoders(PORT),
        contain=False,
    )
    source = _core.Source(interest, limits(), files=(str(capture),))
    for event in Workers([source]):
        if isinstance(event, Event):
            streams.event(event)
    source.close()
    return streams


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="messages of each protocol")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("protocols", nargs="*", default=list(TALKS))
    options = parser.parse_args()
    for protocol in options.protocols:
        started = time.monotonic()
        alone = straight(protocol, options.count // 2, options.seed)
        with tempfile.TemporaryDirectory() as directory:
            behind = through_core(protocol, options.count // 2, Path(directory), options.seed)
        seconds = time.monotonic() - started
        print(
            f"{protocol}: {alone.given + behind.given} messages in {seconds:.0f} s: ok", flush=True
        )
        print(f"  alone: {alone.summary()}\n  behind the core: {behind.summary()}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
