"""HTTP/2 through packets: what the core makes of real ends' bytes, in whatever order they pass."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from decoders.message import Transaction, TransactionFlag
from sensor import _core
from tests.conversation import Conversation
from tests.http2_talk import Exchange, Http2Talk, Piece, Plan, get, plan, post
from tests.impair import Packet, write_pcap
from tests.sensor.core_events import CLIENT, SERVER, batches_of, everything, limits, source_of
from tests.tls_talk import TlsTalk

BLIND = (
    TransactionFlag.REQUEST_GAP
    | TransactionFlag.RESPONSE_GAP
    | TransactionFlag.REQUEST_CUT
    | TransactionFlag.RESPONSE_CUT
    | TransactionFlag.NO_RESPONSE
)
Seen = tuple[list[Transaction], dict[str, int]]
EXCHANGES = 40
KEY_LOG = 1  # TLS_KEY_FILE, sensor/core/tls.h


def seen(path: Path, packets: list[Packet]) -> Seen:
    return told_of(source_of(write_pcap(path, packets)))


def told_of(source: _core.Source) -> Seen:
    """The transactions, and the counters."""
    events = [event for batch in batches_of(source) for event in batch]
    found = [Transaction(*event[-1]) for event in events if event[0] == _core.TRANSACTION]
    return found, source.counters()


def flow_of(pieces: list[Piece]) -> Conversation:
    flow = Conversation(CLIENT, 40_000, SERVER)
    for by_client, content in pieces:
        (flow.say if by_client else flow.answer)(content)
    return flow


def split(pieces: list[Piece], chance: random.Random, most_bytes: int) -> list[Piece]:
    parts = []
    for by_client, content in pieces:
        at = 0
        while at < len(content):
            length = chance.randint(1, most_bytes)
            parts.append((by_client, content[at : at + length]))
            at += length
    return parts


def delayed(pieces: list[Piece], chance: random.Random) -> list[Piece]:
    """What the server says comes later than it might: behind pieces of the client it does not
    depend on, in its own order."""
    order: list[Piece] = []
    held: list[Piece] = []
    for piece in pieces:
        if piece[0]:
            order.append(piece)
        else:
            held.append(piece)
        while held and chance.random() < 0.3:
            order.append(held.pop(0))
    return order + held


def heads(transaction: Transaction) -> tuple[list[str], list[str]]:
    return tuple(  # type: ignore[return-value]
        head.decode().split("\r\n")[:-1]
        for head in (transaction.request_head, transaction.response_head)
    )


def check(found: list[Transaction], planned: Plan) -> None:
    by_path = {each.target: each for each in found}
    assert len(found) == len(by_path) == len(planned.exchanges)
    for each in planned.exchanges:
        transaction = by_path[each.path]
        assert transaction.method == "POST"
        assert transaction.status == each.status
        assert transaction.request_body == each.asked
        assert transaction.response_body == each.answered
        assert transaction.flags & ~TransactionFlag.INTERIM == TransactionFlag.HTTP2
        asked, answered = heads(transaction)
        assert asked == [
            "host: vc.example.test",
            f"x-number: {each.path}",
            f"cookie: {each.cookie}",
        ]
        assert answered == [f"x-answer: {each.path}"]


@pytest.mark.parametrize("seed", range(4))
def test_many_streams_at_once(seed: int, tmp_path: Path) -> None:
    talk, planned = Http2Talk(table_bytes=random.Random(seed).choice((0, 100, 4096, 65536))), None
    planned = plan(seed, EXCHANGES)
    planned.run(talk)
    chance = random.Random(seed)
    orders = {
        "as sent": talk.pieces,
        "in small segments": split(talk.pieces, chance, 300),
        "answers late": delayed(talk.pieces, chance),
        "answers very late": sorted(talk.pieces, key=lambda piece: not piece[0]),
        "in pieces, late": delayed(split(talk.pieces, chance, 3000), chance),
    }
    for order, pieces in orders.items():
        found, counters = seen(tmp_path / "talk.pcap", flow_of(pieces).packets())
        check(found, planned)
        assert counters["http_malformed"] == counters["http2_lost"] == 0, order
        assert counters["http2_connections"] == 1


def test_byte_by_byte(tmp_path: Path) -> None:
    talk, planned = Http2Talk(), plan(9, 12, long_bytes=100)
    planned.run(talk)
    pieces = split(talk.pieces, random.Random(0), 1)
    check(seen(tmp_path / "talk.pcap", flow_of(pieces).packets())[0], planned)


def sealed(directory: Path, pieces: list[Piece]) -> tuple[list[Packet], bytes]:
    """The packets of these pieces inside TLS 1.3, and the key log."""
    talk = TlsTalk(directory, Conversation(CLIENT, 40_000, SERVER, 443))
    for by_client, content in pieces:
        (talk.say if by_client else talk.answer)(content)
    return talk.flows[0].packets(), talk.keys.read_bytes()


def opened(path: Path, packets: list[Packet], keys: bytes) -> Seen:
    files = (str(write_pcap(path, packets)),)
    source = _core.Source(everything(), limits(), files=files, decrypt=True)
    assert source.add_secrets(keys, KEY_LOG)
    return told_of(source)


def test_inside_tls(tmp_path: Path) -> None:
    """The application protocol is what the bytes say, whatever was negotiated."""
    talk, planned = Http2Talk(), plan(3, EXCHANGES, long_bytes=5000)
    planned.run(talk)
    packets, keys = sealed(tmp_path, talk.pieces)
    found, _ = opened(tmp_path / "talk.pcap", packets, keys)
    flags = TransactionFlag.HTTP2 | TransactionFlag.DECRYPTED
    assert {each.flags & ~TransactionFlag.INTERIM for each in found} == {flags}
    check([each._replace(flags=each.flags & ~TransactionFlag.DECRYPTED) for each in found], planned)


def test_lost_packets_inside_tls(tmp_path: Path) -> None:
    """How much plaintext is missing is not known there."""
    talk, planned = Http2Talk(), plan(6, 8, long_bytes=40_000)
    planned.run(talk)
    packets, keys = sealed(tmp_path, talk.pieces)
    truth = {each.path: each for each in planned.exchanges}
    for number in range(20, len(packets) - 3, 5):
        found, counters = opened(tmp_path / "talk.pcap", lost(packets, number), keys)
        assert counters["http_malformed"] == 0
        for each in found:
            check_true(each, truth[each.target])


def check_true(each: Transaction, truth: Exchange) -> None:
    """Nothing is said of the exchange that is not so; what is said to be whole is."""
    assert each.status in (truth.status, 0)
    assert truth.asked.startswith(each.request_body)
    assert truth.answered.startswith(each.response_body)
    if not each.flags & BLIND:
        assert (each.request_body, each.response_body) == (truth.asked, truth.answered)


def lost(packets: list[Packet], number: int) -> list[Packet]:
    return packets[:number] + packets[number + 1 :]


def test_every_lost_packet_costs_what_it_carried(tmp_path: Path) -> None:
    """Whichever packet is missing, what is told of the others is true, and the loss is told."""
    talk, planned = Http2Talk(), plan(5, 10, long_bytes=6000)
    planned.run(talk)
    truth = {each.path: each for each in planned.exchanges}
    packets = flow_of(talk.pieces).packets()
    directions_lost = []
    begins = next(n for n, packet in enumerate(packets) if b"PRI * HTTP/2.0" in packet.frame)
    for number in range(begins + 1, len(packets) - 3):
        found, counters = seen(tmp_path / "talk.pcap", lost(packets, number))
        assert counters["tcp_gaps"] == 1
        assert counters["http_malformed"] == 0
        for each in found:
            check_true(each, truth[each.target])
        if not counters["http2_lost"]:  # the hole is in a body
            assert len(found) == len(truth)
            assert len([each for each in found if each.flags & BLIND]) == 1
        directions_lost.append(counters["http2_lost"])
    assert set(directions_lost) == {0, 1}


def test_content_codings(tmp_path: Path) -> None:
    talk = Http2Talk()
    content = json.dumps({"value": ["vm-1"] * 100}).encode()
    packed = gzip.compress(content)
    stream = talk.ask(post("/api/a", ("content-encoding", "gzip")), packed)
    talk.answer(stream, [(":status", "200"), ("content-encoding", "gzip")], packed)
    (found,), _ = seen(tmp_path / "talk.pcap", talk.on(flow_of([])).packets())
    assert found.request_body == found.response_body == content


def test_soap(tmp_path: Path) -> None:
    body = (
        b'<?xml version="1.0"?><Envelope><Header><operationID>op-7</operationID></Header><Body>'
        b'<PowerOnVM_Task xmlns="urn:vim25"><_this type="VirtualMachine">vm-12</_this>'
        b"</PowerOnVM_Task></Body></Envelope>"
    )
    talk = Http2Talk()
    stream = talk.ask(post("/sdk", ("content-type", "text/xml"), ("soapaction", "urn:vim25")), body)
    talk.answer(stream, [(":status", "200")], b"<ok/>")
    (found,), _ = seen(tmp_path / "talk.pcap", talk.on(flow_of([])).packets())
    told: tuple[Any, ...] = (found.operation, found.this_type, found.this_id, found.operation_id)
    assert told == ("PowerOnVM_Task", "VirtualMachine", "vm-12", "op-7")


def test_capture_that_begins_in_the_middle(tmp_path: Path) -> None:
    talk = Http2Talk()
    for number in range(8):
        talk.answer(talk.ask(get(f"/api/{number}")), [(":status", "200")], b"ok")
    packets = flow_of(talk.pieces).packets()
    begins = next(n for n, packet in enumerate(packets) if b"PRI * HTTP/2.0" in packet.frame)
    for rest in (packets[begins + 12 :], lost(packets, begins)):
        found, counters = seen(tmp_path / "talk.pcap", rest)
        assert found == []
        assert counters["http2_unseen"] == 1
        assert counters["http2_connections"] == counters["http_requests"] == 0
        assert counters["stream_skipped_bytes"] > 0


def test_upgrade_from_http1(tmp_path: Path) -> None:
    """RFC 7540 section 3.2: the request is the first stream of the HTTP/2 connection."""
    talk = Http2Talk(upgrade=True)
    talk.answer(1, [(":status", "200")], b"one")
    talk.answer(talk.ask(get("/api/b")), [(":status", "200")], b"two")
    asked = (
        "GET /api/a HTTP/1.1\r\nHost: vc.example.test\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        f"Upgrade: h2c\r\nHTTP2-Settings: {talk.settings}\r\n\r\n"
    )
    switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    pieces = [(True, asked.encode()), (False, switched.encode()), *talk.pieces]
    for order in (pieces, split(pieces, random.Random(1), 1)):
        found, _ = seen(tmp_path / "talk.pcap", flow_of(order).packets())
        told = [(each.target, each.status, each.response_body) for each in found]
        assert told == [("/api/a", 200, b"one"), ("/api/b", 200, b"two")]
        assert found[0].flags == TransactionFlag.HTTP2 | TransactionFlag.INTERIM
