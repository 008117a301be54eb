"""The reference reader on captures made for it: framing, pairing, order and times."""

import gzip
import zlib
from pathlib import Path

import pytest

from decoders.message import Transaction, TransactionFlag
from tests.conversation import START_NS, STEP_NS, Conversation, one_after_another, request, response
from tests.decoders.crafting import DIALECTS, answer
from tests.impair import Packet, drop, reorder, write_pcap, write_pcapng
from tests.reference import transactions

CLIENT, SERVER = "10.1.1.11", "10.3.3.10"


def _talk(port: int = 50_000) -> Conversation:
    return Conversation(CLIENT, port, SERVER)


def _read(tmp_path: Path, packets: list[Packet]) -> list[Transaction]:
    path = write_pcap(tmp_path / "made.pcap", packets)
    return [transaction for _, transaction in transactions(str(path))]


def test_flow_tuple_and_times(tmp_path: Path) -> None:
    talk = _talk()
    talk.say(request("GET", "/a?b"))
    talk.answer(response(200, ["X: y"], b"z" * 3000))
    path = write_pcap(tmp_path / "made.pcap", talk.packets())
    ((flow, done),) = transactions(str(path))
    assert flow[:7] == (6, CLIENT, 50_000, SERVER, 80, -1, "")
    assert flow[7].startswith("1:") and len(flow[7]) == 30
    assert (done.method, done.target, done.status) == ("GET", "/a?b", 200)
    assert done.response_head == b"X: y\r\nContent-Length: 3000"
    assert done.response_body == b"z" * 3000
    # After the handshake's three packets: one of the request, three of the response.
    assert done.request_ns == START_NS + 3 * STEP_NS
    assert done.response_ns == START_NS + 4 * STEP_NS
    assert done.end_ns == START_NS + 6 * STEP_NS
    assert done.flags == 0


def test_pcapng_reads_the_same(tmp_path: Path) -> None:
    talk = _talk()
    talk.say(request("GET", "/"))
    talk.answer(response(200))
    packets = talk.packets()
    path = write_pcapng(tmp_path / "made.pcapng", packets)
    assert [each for _, each in transactions(str(path))] == _read(tmp_path, packets)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_soap_names(tmp_path: Path, dialect: str) -> None:
    head, body = DIALECTS[dialect](
        "PowerOffVM_Task", ("VirtualMachine", "vm-1"), operation_id="a-1"
    )
    talk = _talk()
    lines = [line for line in head.decode().split("\r\n") if not line.startswith("Transfer")]
    talk.say(request("POST", "/sdk", lines, body))
    talk.answer(response(200, [], answer("PowerOffVM_Task")))
    (done,) = _read(tmp_path, talk.packets())
    assert (done.operation, done.this_id, done.operation_id) == ("PowerOffVM_Task", "vm-1", "a-1")
    assert done.this_type == ("" if dialect == "vim_java" else "VirtualMachine")


def test_chunks_with_extensions_and_trailers(tmp_path: Path) -> None:
    talk = _talk()
    talk.say(b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;e=f\r\nabc\r\n")
    talk.say(b"A\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n" + request("GET", "/next"))
    talk.answer(response(200) + response(204))
    one, two = _read(tmp_path, talk.packets())
    assert one.request_body == b"abc0123456789"
    assert (two.target, two.status) == ("/next", 204)


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("gzip", gzip.compress(b"hello")),
        ("deflate", zlib.compress(b"hello")),
        ("deflate", zlib.compress(b"hello")[2:-4]),
    ],
)
def test_content_codings(tmp_path: Path, name: str, packed: bytes) -> None:
    talk = _talk()
    talk.say(request("GET", "/"))
    talk.answer(response(200, [f"Content-Encoding: {name}"], packed))
    assert _read(tmp_path, talk.packets())[0].response_body == b"hello"


def test_pipelining_pairs_in_order(tmp_path: Path) -> None:
    talk = _talk()
    talk.say(b"".join(request("GET", f"/{number}") for number in range(20)))
    talk.answer(b"".join(response(200, [], str(number).encode()) for number in range(20)))
    done = _read(tmp_path, talk.packets())
    assert [(each.target, each.response_body) for each in done] == [
        (f"/{number}", str(number).encode()) for number in range(20)
    ]


def test_interim_response_head_request_and_body_to_the_end(tmp_path: Path) -> None:
    talk = _talk()
    talk.say(request("PUT", "/a", ["Expect: 100-continue"], b"x") + request("HEAD", "/b"))
    talk.say(request("GET", "/c"))
    talk.answer(b"HTTP/1.1 100 Continue\r\n\r\n" + response(201))
    talk.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
    talk.answer(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
    put, head, get = _read(tmp_path, talk.packets())
    assert (put.status, put.flags) == (201, TransactionFlag.INTERIM)
    assert (head.status, head.response_body, head.flags) == (200, b"", 0)
    assert get.response_body == b"until the end"


def test_request_without_response(tmp_path: Path) -> None:
    talk = _talk()
    talk.say(request("GET", "/"))
    packets = talk.packets()
    (done,) = _read(tmp_path, packets)
    assert (done.status, done.response_ns) == (0, 0)
    assert (done.end_ns, done.flags) == (packets[-1].time_ns, TransactionFlag.NO_RESPONSE)


def test_tunnel_and_proxy_header(tmp_path: Path) -> None:
    tunnel, behind = _talk(1), _talk(2)
    tunnel.say(request("CONNECT", "vc:80"))
    tunnel.answer(response(200))
    tunnel.say(request("GET", "/inside"))
    tunnel.answer(response(200))
    behind.say(b"PROXY TCP4 10.9.9.9 10.3.3.10 1 80\r\n" + request("GET", "/behind"))
    behind.answer(response(200))
    done = _read(tmp_path, one_after_another([tunnel, behind]))
    assert [(each.target, each.flags) for each in done] == [
        ("vc:80", 0),
        ("/inside", TransactionFlag.TUNNELLED),
        ("/behind", 0),
    ]


def test_order_is_by_end(tmp_path: Path) -> None:
    slow, fast = _talk(1), _talk(2)
    slow.say(request("GET", "/slow"))
    slow.answer(response(200))
    fast.say(request("GET", "/fast"))
    fast.answer(response(200))
    packets = slow.packets(START_NS)[:4] + fast.packets(START_NS + 10 * STEP_NS)
    packets += [
        Packet(packet.time_ns + 100 * STEP_NS, packet.frame, packet.wire_bytes)
        for packet in slow.packets(START_NS)[4:]
    ]
    assert [each.target for each in _read(tmp_path, packets)] == ["/fast", "/slow"]


def test_reused_5_tuple_is_another_flow(tmp_path: Path) -> None:
    again = _talk()
    again.say(request("GET", "/a"))
    again.answer(response(200))
    packets = again.packets()
    changed = []
    for packet in again.packets(packets[-1].time_ns + STEP_NS):
        frame = bytearray(packet.frame)
        at = 38 if frame[30:34] == bytes([10, 3, 3, 10]) else 42  # sequence, acknowledgement
        number = int.from_bytes(frame[at : at + 4], "big") + 90_000
        if number > 90_000:
            frame[at : at + 4] = number.to_bytes(4, "big")
        changed.append(Packet(packet.time_ns, bytes(frame), packet.wire_bytes))
    assert [each.target for each in _read(tmp_path, packets + changed)] == ["/a", "/a"]


def _long_talk() -> list[Packet]:
    talk = _talk()
    for number in range(30):
        talk.say(request("POST", f"/{number}", [], bytes([65 + number]) * 4000))
        talk.answer(response(200, [], bytes([97 + number % 26]) * 5000))
    return talk.packets()


def test_reordering_changes_no_content(tmp_path: Path) -> None:
    packets = _long_talk()
    handshake, rest = packets[:3], packets[3:]
    clean = _read(tmp_path, packets)
    shuffled = _read(tmp_path, handshake + reorder(rest, 0.3, seed=7, carry_times=False))
    assert [each._replace(request_ns=0, response_ns=0, end_ns=0) for each in clean] == [
        each._replace(request_ns=0, response_ns=0, end_ns=0) for each in shuffled
    ]


def test_loss_ends_reading_with_a_flag(tmp_path: Path) -> None:
    packets = _long_talk()
    done = _read(tmp_path, packets[:3] + drop(packets[3:], 0.05, seed=3))
    gaps = TransactionFlag.REQUEST_GAP | TransactionFlag.RESPONSE_GAP | TransactionFlag.NO_RESPONSE
    assert 0 < len(done) < 30
    assert any(each.flags & gaps for each in done)
    whole = [each for each in done if not each.flags]
    assert all(len(each.request_body) == 4000 for each in whole)


def test_what_is_no_http_yields_nothing(tmp_path: Path) -> None:
    talk = _talk()
    talk.say(bytes.fromhex("160301020001000001fc0303"))
    talk.answer(b"\x16\x03\x03")
    assert _read(tmp_path, talk.packets()) == []
