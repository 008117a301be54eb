"""Every event reaches the one it concerns; a decoder's fault costs its message and nothing else."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from decoders.message import (
    DecodeError,
    Message,
    Rule,
    SessionExpired,
    SessionSeen,
    Transaction,
    Want,
)
from sensor import _core
from sensor.flows import Flow
from sensor.records import Record, Tls
from sensor.streams import Streams, interest_of
from sensor.tls import TlsSeen
from sensor.workers import Event, Watermark, Workers
from tests.conversation import START_NS, Conversation, request, response
from tests.impair import write_pcap
from tests.sensor.core_events import CAPTURES, CLIENT, SERVER, limits, plain, source_of

SECRET = "hunter2"
FLOW = Flow(6, CLIENT, 40_000, SERVER, 443, -1, "", "1:id", "C1", 0)


@dataclass
class Told:
    """A meaning layer that notes what it is told; a record of each call tells the order."""

    messages: list[tuple[Flow, Message]] = field(default_factory=list)
    gaps: list[tuple[Flow, int, int, int]] = field(default_factory=list)
    proxied: list[tuple[Flow, str, int, int]] = field(default_factory=list)
    sealed: list[tuple[Flow, TlsSeen]] = field(default_factory=list)

    def message(
        self, flow: Flow, message: Message, visibility: str = "clear", tls: Tls | None = None
    ) -> list[Record]:
        assert (visibility, tls) == ("clear", None)
        self.messages.append((flow, message))
        return [Record(kind="message", ts=message.time_ns)]

    def tls(self, flow: Flow, seen: TlsSeen, time_ns: int) -> None:
        self.sealed.append((flow, seen))

    def tapped(self, flow: Flow, time_ns: int) -> None:
        raise AssertionError("there is no tap")

    def gap(
        self, flow: Flow, direction: int, size_bytes: int, time_ns: int, tls: Tls | None = None
    ) -> list[Record]:
        self.gaps.append((flow, direction, size_bytes, time_ns))
        return [Record(kind="gap", ts=time_ns)]

    def proxy_header(
        self, flow: Flow, client_ip: str, client_port: int, time_ns: int, certificate: str = ""
    ) -> None:
        self.proxied.append((flow, client_ip, client_port, time_ns))

    def flow_end(self, flow: Flow, time_ns: int) -> list[Record]:
        return [Record(kind="end", ts=time_ns)]

    def advance(self, watermark_ns: int) -> list[Record]:
        return [Record(kind="advance", ts=watermark_ns)]


@dataclass
class Decoder:
    """Claims targets by their beginning, and says of them what `says` returns or raises."""

    name: str
    begins: str
    says: Callable[[Transaction], list[Message]]

    def rules(self) -> list[Rule]:
        return [
            Rule(Want.REQUEST_BODY, method="*", path=f"{self.begins}*"),
            Rule(Want.RESPONSE_BODY, operation="Login", request_has=("urn:vim25",)),
        ]

    def token_headers(self) -> list[str]:
        return ["x-token"]

    def token_cookies(self) -> list[str]:
        return ["sid"]

    def object_properties(self) -> list[str]:
        return ["name"]

    def claims(self, transaction: Transaction) -> bool:
        return transaction.target.startswith(self.begins)

    def transaction(self, transaction: Transaction) -> list[Message]:
        return self.says(transaction)


def seen(transaction: Transaction) -> list[Message]:
    start_ns, end_ns = transaction.request_ns, transaction.end_ns
    return [
        SessionSeen(user=transaction.target, time_ns=start_ns, end_ns=end_ns),
        SessionExpired(time_ns=start_ns, end_ns=end_ns),
    ]


def break_protocol(transaction: Transaction) -> list[Message]:
    raise DecodeError(f"not even XML: {transaction.request_body!r}")


known: dict[bytes, list[Message]] = {}


def break_down(transaction: Transaction) -> list[Message]:
    return known[transaction.request_body]


DECODERS = [
    Decoder("good", "/good", seen),
    Decoder("broken", "/bad", break_protocol),
    Decoder("buggy", "/bug", break_down),
    Decoder("late", "/good", break_down),  # the first claim wins
]


def transaction(target: str, time_ns: int = START_NS) -> Event:
    body = SECRET.encode()
    value = Transaction(
        time_ns - 2,
        time_ns - 1,
        time_ns,
        "GET",
        target,
        200,
        b"",
        b"",
        body,
        b"",
        "",
        "",
        "",
        "",
        0,
    )
    return Event(_core.TRANSACTION, FLOW, 0, time_ns, tuple(value))


def streams_to(told: Told, *, contain: bool = True) -> Streams:
    return Streams(DECODERS, told, contain=contain)


def test_the_first_claim_wins() -> None:
    told = Told()
    streams = streams_to(told)
    records = streams.event(transaction("/good/1"))
    assert [record.kind for record in records] == ["advance", "message", "message"]
    assert [(flow, type(message)) for flow, message in told.messages] == [
        (FLOW, SessionSeen),
        (FLOW, SessionExpired),
    ]
    assert streams.messages == {"SessionSeen": 1, "SessionExpired": 1}
    assert not streams.contained_errors and not streams.decode_errors and not streams.unclaimed


def test_a_broken_protocol_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Also where errors of ours are not contained: it is none of ours."""
    told = Told()
    streams = streams_to(told, contain=False)
    for number in range(3):
        assert streams.event(transaction("/bad", START_NS + number))[1:] == []
    assert streams.decode_errors == {"broken": 3} and not streams.contained_errors
    assert told.messages == [] and caplog.records == []
    assert len(streams.event(transaction("/good", START_NS + 9))) == 3  # and the flow goes on


def test_an_error_of_ours_is_contained(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    streams = streams_to(told)
    with caplog.at_level(logging.DEBUG):
        assert streams.event(transaction("/bug"))[1:] == []
    assert streams.contained_errors == {"buggy": 1} and not streams.decode_errors
    (said,) = caplog.records
    line = break_down.__code__.co_firstlineno + 1
    assert said.getMessage() == f"decoder buggy: KeyError at line {line}, contained"
    assert said.levelno == logging.ERROR
    assert SECRET not in caplog.text and not said.exc_info
    assert len(streams.event(transaction("/good", START_NS + 1))) == 3


def test_an_error_of_ours_is_seen_in_tests() -> None:
    streams = streams_to(Told(), contain=False)
    with pytest.raises(KeyError):
        streams.event(transaction("/bug"))
    assert not streams.contained_errors


def test_unclaimed_transactions_are_counted() -> None:
    told = Told()
    streams = streams_to(told)
    for target in ("/", "/other", "/goo"):
        streams.event(transaction(target))
    assert streams.unclaimed == 3 and told.messages == [] and not streams.messages


def test_other_events() -> None:
    told = Told()
    streams = streams_to(told)

    def kinds(kind: int, value: object, time_ns: int = START_NS, direction: int = 1) -> list[str]:
        event = Event(kind, FLOW, direction, time_ns, value)
        return [record.kind for record in streams.event(event)]

    assert kinds(_core.GAP, 7) == ["advance", "gap"]
    assert told.gaps == [(FLOW, 1, 7, START_NS)]
    assert kinds(_core.CHUNK, b"four") == []
    assert kinds(_core.DATAGRAM, b"fives") == []
    assert streams.undecoded_bytes == 9
    assert kinds(_core.FLOW_END, (1, 1, 1, 1), START_NS + 1) == ["advance", "end"]
    assert streams.advance(START_NS) == []  # time has passed that
    assert [record.ts for record in streams.advance(START_NS + 2)] == [START_NS + 2]


@pytest.mark.parametrize(
    ("header", "proxied", "errors"),
    [
        (b"PROXY TCP4 192.0.2.7 10.3.3.10 5000 443\r\n", [("192.0.2.7", 5000)], 0),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 5000 443\r\n", [("2001:db8::7", 5000)], 0),
        (b"PROXY UNKNOWN\r\n", [], 0),
        (b"PROXY TCP4 192.0.2.7\r\n", [], 1),
    ],
)
def test_proxy_header(header: bytes, proxied: list[tuple[str, int]], errors: int) -> None:
    told = Told()
    streams = streams_to(told)
    streams.event(Event(_core.PROXY_HEADER, FLOW, 0, START_NS, header))
    assert told.proxied == [(FLOW, *client, START_NS) for client in proxied]
    assert streams.decode_errors["proxyproto"] == errors


def test_proxy_headers_of_a_capture(tmp_path: Path) -> None:
    """Behind the proxy, which has one address, stand clients with others."""
    capture = plain(CAPTURES / "haproxy-term-proxyv2" / "capture.pcap.zst", tmp_path)
    told = Told()
    streams = streams_to(told)
    for item in Workers([source_of(capture)]):
        if isinstance(item, Event):
            streams.event(item)
    assert len({flow for flow, *_ in told.proxied}) == len(told.proxied) > 10
    proxies = {flow.client_ip for flow, *_ in told.proxied}
    clients = {client for _, client, _, _ in told.proxied}
    assert len(proxies) == 1 and len(clients) > 1 and not proxies & clients
    # before it, the same clients speak TLS
    assert {flow.client_ip for flow, _ in told.sealed} == clients
    assert not {flow for flow, _ in told.sealed} & {flow for flow, *_ in told.proxied}
    assert not streams.decode_errors


def test_only_what_decoders_ask_for_comes_up(tmp_path: Path) -> None:
    talk = Conversation(CLIENT, 40_000, SERVER)
    soap = b"<Envelope><Body><%s xmlns='urn:vim%d'/></Body></Envelope>"
    for target, body, header in (
        ("/good/1", b"said", "X: y"),
        ("/other", b"said", "X: y"),
        ("/other/2", b"said", "X-Token: new"),
        ("/other/3", b"said", "X-Token: new"),
        ("/sdk/1", soap % (b"Login", 25), "X: y"),
        ("/sdk/2", soap % (b"Login", 24), "X: y"),
        ("/sdk/3", soap % (b"Logout", 25), "X: y"),
        ("/other/4", b"said", "Cookie: sid=newer"),
    ):
        talk.say(request("POST", target, [header], body))
        talk.answer(response(200, body=b"answer"))
    capture = write_pcap(tmp_path / "made.pcap", talk.packets())
    source = _core.Source(interest_of(DECODERS[:1]), limits(), files=(str(capture),))
    came = [
        Transaction._make(item.value)
        for item in Workers([source])
        if not isinstance(item, Watermark) and item.kind == _core.TRANSACTION
    ]
    assert [(each.target, each.request_body, each.response_body) for each in came] == [
        ("/good/1", b"said", b""),
        ("/other/2", b"", b""),
        ("/sdk/1", b"", b"answer"),
        ("/other/4", b"", b""),
    ]


def test_a_port_comes_up_as_it_is(tmp_path: Path) -> None:
    talk = Conversation(CLIENT, 40_000, SERVER, 902)
    talk.say(b"hello")
    talk.answer(b"220 ready")
    capture = write_pcap(tmp_path / "made.pcap", talk.packets())
    interest = interest_of([], ports=[(6, 902)])
    source = _core.Source(interest, limits(), files=(str(capture),))
    told = Told()
    streams = streams_to(told)
    chunks = []
    for item in Workers([source]):
        if isinstance(item, Event):
            streams.event(item)
            chunks += [(item.direction, item.value)] if item.kind == _core.CHUNK else []
    assert chunks == [(_core.TO_SERVER, b"hello"), (_core.TO_CLIENT, b"220 ready")]
    assert streams.undecoded_bytes == len(b"hello220 ready")
