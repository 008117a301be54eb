"""Flows of framed messages: one decoder each, told everything of its flow until it breaks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from decoders.message import (
    DecodeError,
    Direction,
    Framed,
    FramedFlag,
    Framing,
    HostBeat,
    Message,
    SessionSeen,
)
from sensor import _core
from sensor.flows import Flow
from sensor.records import Record, Tls
from sensor.streams import Streams
from sensor.tls import TlsSeen, TlsVisibility
from sensor.workers import Event

START_NS = 10**18
FLOW = Flow(6, "10.0.0.1", 40_000, "10.0.0.2", 902, -1, "", "1:id", "C1", 0)
OTHER = FLOW._replace(client_port=40_001, uid="C2")
BEATS = FLOW._replace(protocol=17, uid="C3")


@dataclass
class Heard:
    """A meaning layer that notes who said what how visibly."""

    messages: list[tuple[str, str, str, bool]] = field(default_factory=list)

    def message(
        self, flow: Flow, message: Message, visibility: str = "clear", tls: Tls | None = None
    ) -> list[Record]:
        said = message.user if isinstance(message, SessionSeen) else type(message).__name__
        self.messages.append((flow.uid, said, visibility, tls is not None))
        return [Record(kind="message", ts=message.time_ns)]

    def tls(self, flow: Flow, seen: TlsSeen, time_ns: int) -> None:
        pass

    def tapped(self, flow: Flow, time_ns: int) -> None:
        raise AssertionError("there is no tap")

    def gap(
        self, flow: Flow, direction: int, size_bytes: int, time_ns: int, tls: Tls | None = None
    ) -> list[Record]:
        return [Record(kind="gap", ts=time_ns)]

    def proxy_header(
        self, flow: Flow, client_ip: str, client_port: int, time_ns: int, certificate: str = ""
    ) -> None:
        raise AssertionError

    def flow_end(self, flow: Flow, time_ns: int) -> list[Record]:
        return [Record(kind="end", ts=time_ns)]

    def advance(self, watermark_ns: int) -> list[Record]:
        return []


@dataclass
class Echo:
    """Says what it is told; breaks when told to."""

    session: str
    name: str = "echo"

    def message(self, direction: Direction, framed: Framed, time_ns: int) -> list[Message]:
        if framed.data == b"broken":
            raise DecodeError("broken")
        if framed.data == b"bug":
            raise KeyError("bug")
        return self._said(f"{self.session} {direction.name} {framed.data.decode()}", time_ns)

    def gap(self, direction: Direction, size_bytes: int, time_ns: int) -> list[Message]:
        return self._said(f"gap {direction.name} {size_bytes}", time_ns)

    def tls(self, tls_session: int, is_open: bool, time_ns: int) -> list[Message]:
        return self._said(f"tls {tls_session} {is_open}", time_ns)

    def close(self, time_ns: int, to_server_bytes: int, to_client_bytes: int) -> list[Message]:
        return self._said(f"close {to_server_bytes} {to_client_bytes}", time_ns)

    def _said(self, what: str, time_ns: int) -> list[Message]:
        return [SessionSeen(user=what, time_ns=time_ns, end_ns=time_ns)]


class Beats:
    name = "beats"

    def datagram(self, payload: bytes, time_ns: int) -> list[Message]:
        if payload == b"broken":
            raise DecodeError("broken")
        return [
            HostBeat(time_ns=time_ns, end_ns=time_ns, host_key="k", address="", build=1, counter=1)
        ]


class Stage:
    def __init__(self, *, contain: bool = True) -> None:
        self.heard = Heard()
        self.made: list[Echo] = []
        self.streams = Streams(
            [],
            self.heard,
            framed={Framing.AUTHD: self._make},
            datagrams={902: Beats()},
            contain=contain,
        )
        self._time_ns = START_NS

    def _make(self, session: str) -> Echo:
        self.made.append(Echo(session))
        return self.made[-1]

    def event(self, kind: int, value: Any, direction: int = 0, flow: Flow = FLOW) -> list[str]:
        self._time_ns += 1
        event = Event(kind, flow, direction, self._time_ns, value)
        return [record.kind for record in self.streams.event(event)]

    def say(self, data: bytes, flags: int = 0, flow: Flow = FLOW, protocol: int = 1) -> list[str]:
        value = tuple(Framed(protocol, flags, 0, len(data), START_NS, data))
        return self.event(_core.MESSAGE, value, 0, flow)

    def tls(self, session: int, *, is_open: bool, flow: Flow = FLOW) -> list[str]:
        visible = TlsVisibility.DECRYPTED if is_open else TlsVisibility.METADATA
        seen = TlsSeen(session, 0x0304, 0x1301, "", visible, 0, 0, False, False, *[""] * 14)
        return self.event(_core.TLS, tuple(seen), 0, flow)

    @property
    def said(self) -> list[str]:
        return [said for _, said, _, _ in self.heard.messages]


def test_a_flow_has_one_decoder_that_is_told_all_of_it() -> None:
    stage = Stage()
    assert stage.say(b"hello") == ["message"]
    assert stage.tls(1, is_open=True) == ["message"]
    assert stage.say(b"secret", FramedFlag.DECRYPTED, protocol=Framing.NFC) == ["message"]
    assert stage.say(b"of another", flow=OTHER) == ["message"]
    assert stage.event(_core.GAP, 7, 1) == ["message", "gap"]
    assert stage.event(_core.FLOW_END, (1, 2, 30, 40)) == ["message", "end"]
    assert stage.heard.messages == [
        ("C1", "flow:C1 TO_SERVER hello", "clear", False),
        ("C1", "tls 1 True", "clear", True),
        ("C1", "flow:C1 TO_SERVER secret", "decrypted", True),
        ("C2", "flow:C2 TO_SERVER of another", "clear", False),
        ("C1", "gap TO_CLIENT 7", "decrypted", True),
        ("C1", "close 30 40", "decrypted", True),
    ]
    assert stage.streams.messages == {"SessionSeen": 6}
    assert [each.session for each in stage.made] == ["flow:C1", "flow:C2"]
    assert stage.event(_core.FLOW_END, (1, 2, 30, 40)) == ["end"]  # forgotten
    assert stage.say(b"again") == ["message"] and len(stage.made) == 3


def test_what_is_said_of_sealed_tls_is_metadata() -> None:
    stage = Stage()
    stage.say(b"hello")
    stage.tls(1, is_open=True)
    stage.say(b"one", FramedFlag.DECRYPTED)
    stage.tls(2, is_open=False)
    stage.event(_core.FLOW_END, (1, 2, 3, 4))
    visible = [visibility for _, _, visibility, _ in stage.heard.messages]
    assert visible == ["clear", "clear", "decrypted", "decrypted", "metadata"]


def test_clear_text_after_sealed_tls() -> None:
    stage = Stage()
    stage.say(b"hello")
    stage.tls(1, is_open=False)
    stage.event(_core.GAP, 1)
    stage.say(b"nfc")
    stage.tls(1, is_open=False)  # more is known of it
    stage.event(_core.FLOW_END, (1, 2, 3, 4))
    visible = [visibility for _, _, visibility, _ in stage.heard.messages]
    assert visible == ["clear", "clear", "metadata", "clear", "clear", "clear"]


def test_a_flow_that_begins_with_tls() -> None:
    stage = Stage()
    assert stage.tls(1, is_open=True) == []
    stage.say(b"words", FramedFlag.DECRYPTED)
    stage.event(_core.FLOW_END, (0, 0, 0, 0))
    assert stage.said == ["flow:C1 TO_SERVER words", "close 0 0"]


@pytest.mark.parametrize(
    ("data", "count"),
    [(b"broken", lambda s: s.decode_errors), (b"bug", lambda s: s.contained_errors)],
)
def test_an_error_loses_the_decoder(data: bytes, count: Callable[[Streams], Any]) -> None:
    stage = Stage()
    stage.say(b"hello")
    assert stage.say(data) == []
    assert stage.say(b"more") == [] and stage.tls(1, is_open=True) == []
    assert stage.event(_core.GAP, 7) == ["gap"]
    assert stage.event(_core.FLOW_END, (1, 2, 3, 4)) == ["end"]
    assert count(stage.streams) == {"echo": 1}
    assert len(stage.said) == 1 and len(stage.made) == 1


def test_an_error_of_ours_is_seen_in_tests() -> None:
    stage = Stage(contain=False)
    with pytest.raises(KeyError):
        stage.say(b"bug")


def test_a_framing_that_nobody_reads() -> None:
    stage = Stage()
    assert stage.say(b"vix", protocol=Framing.VIX) == []
    assert stage.event(_core.FLOW_END, (1, 2, 3, 4)) == ["end"]
    assert not stage.made


def test_datagrams_go_by_port() -> None:
    stage = Stage()
    elsewhere = BEATS._replace(server_port=53)
    assert stage.event(_core.DATAGRAM, b"beat", 0, BEATS) == ["message"]
    assert stage.event(_core.DATAGRAM, b"broken", 0, BEATS) == []
    assert stage.event(_core.DATAGRAM, b"back", 1, BEATS) == []
    assert stage.event(_core.DATAGRAM, b"query", 0, elsewhere) == []
    assert stage.streams.messages == {"HostBeat": 1}
    assert stage.streams.decode_errors == {"beats": 1}
    assert stage.streams.undecoded_bytes == len(b"backquery")
