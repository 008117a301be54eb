"""Recorded HTTP/2: every call that the server says it was asked, and the records of the same calls
in HTTP/1.1."""

from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from decoders.message import Transaction, TransactionFlag
from sensor import _core
from tests.command import hoptap, read_records
from tests.conversation import Conversation, one_after_another
from tests.http2_talk import Http2Talk
from tests.impair import write_pcap
from tests.packaged import calls_of, capture_of, replayed, tls_secrets_of
from tests.sensor.core_events import WHOLE_BYTES, batches_of, everything, limits
from tests.twins import told

NAME = "h2-govc"
KEY_LOG = 1  # sensor/core/tls.h
CLIENT, SERVER, SERVER_PORT = "10.77.1.11", "10.77.3.10", 443
Flows = dict[int, list[Transaction]]


@pytest.fixture(scope="module")
def flows() -> Flows:
    """The transactions of each flow."""
    source = _core.Source(
        everything(),
        limits(http_body_bytes_max=WHOLE_BYTES),
        files=(str(capture_of(NAME)),),
        decrypt=True,
    )
    found: Flows = {}
    with closing(source):
        assert source.add_secrets(tls_secrets_of(NAME), KEY_LOG)
        for batch in batches_of(source):
            for kind, flow, *_, value in batch:
                if kind == _core.TRANSACTION:
                    found.setdefault(flow, []).append(Transaction(*value))
        counters = source.counters()
    assert counters["http2_connections"] == len(found) == 6
    assert counters["http_malformed"] == counters["http2_lost"] == 0
    return found


def test_every_call_is_found(flows: Flows) -> None:
    found = [each for transactions in flows.values() for each in transactions]
    asked = [call for call in calls_of(NAME) if call["ev"] == "call"]
    assert Counter((call["method"], call["this"], call["opid"]) for call in asked) == Counter(
        (each.operation, each.this_id, each.operation_id) for each in found if each.operation
    )
    flags = TransactionFlag.HTTP2 | TransactionFlag.DECRYPTED
    assert {each.flags for each in found} == {flags}


def in_http1(transaction: Transaction) -> tuple[bytes, bytes]:
    """What HTTP/1.1 would have carried, with the bodies as they are after their codings."""
    start = f"{transaction.method} {transaction.target} HTTP/1.1\r\n".encode()
    asked = start + _headed(transaction.request_head, transaction.request_body)
    status = f"HTTP/1.1 {transaction.status} \r\n".encode()
    return asked, status + _headed(transaction.response_head, transaction.response_body)


def _headed(head: bytes, body: bytes) -> bytes:
    framing = (b"content-length:", b"content-encoding:")
    lines = [line for line in head.splitlines(keepends=True) if not line.startswith(framing)]
    return b"".join(lines) + b"content-length: %d\r\n\r\n" % len(body) + body


def test_records_are_those_of_http1(flows: Flows, tmp_path: Path) -> None:
    conversations = []
    for flow, transactions in sorted(flows.items()):
        talk = Conversation(CLIENT, 50_000 + flow, SERVER, SERVER_PORT)
        for each in transactions:
            asked, answered = in_http1(each)
            talk.say(asked)
            talk.answer(answered)
        conversations.append(talk)
    capture = write_pcap(tmp_path / "http1.pcap", one_after_another(conversations))
    out = tmp_path / "http1.ndjson"
    hoptap("replay", "--out", out, capture)
    records = replayed(NAME, tmp_path)
    assert Counter(each["kind"] for each in records) == {"login": 5, "logout": 4, "action": 2}
    assert told(records) == told(read_records(out))


def test_console_through_either(tmp_path: Path) -> None:
    """RFC 8441: a WebSocket inside HTTP/2, and the Upgrade that it stands for."""
    ticket, frames = "/ticket/52t1cket", b"\x82\x05hello"
    upgrade = (
        f"GET {ticket} HTTP/1.1\r\nHost: esx1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    )
    switched = (
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    http1 = Conversation(CLIENT, 50_001, SERVER, SERVER_PORT)
    http1.say(upgrade.encode())
    http1.answer(switched.encode() + frames)
    talk = Http2Talk()
    connect = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https")]
    stream = talk.begin([*connect, (":authority", "esx1"), (":path", ticket)], ends=False)
    talk.head(stream, [(":status", "200")])
    talk.tell(stream, frames, ends=False)
    http2 = talk.on(Conversation(CLIENT, 50_001, SERVER, SERVER_PORT))
    found = []
    for flow in (http1, http2):
        capture = write_pcap(tmp_path / "console.pcap", flow.packets())
        out = tmp_path / "console.ndjson"
        hoptap("replay", "--out", out, capture)
        found.append(read_records(out))
        out.unlink()
    assert [each["op"]["class"] for each in found[0]] == ["console"]
    assert [each["key"] for each in found[0][0]["hop"]["evidence"]] == ["ticket"]
    assert told(found[0]) == told(found[1])
