"""TCP 902 through the core: authd in clear and inside TLS, what takes over; no secret anywhere."""

import base64
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest

from decoders.message import Direction, Framed, FramedFlag, Framing
from sensor import _core
from tests.conversation import Conversation
from tests.impair import write_pcap
from tests.sensor.core_events import CLIENT, RawEvent, events_of, limits
from tests.tls_talk import TlsTalk

HOST = "10.4.4.11"
PASSWORD = b"Canary-hunter2-Tail"
CODED = base64.b64encode(b"bob\0" + PASSWORD + b"\0")
CODED_PASSWORD = CODED[8:20]
GREETING = b"220 VMware Authentication Daemon Version 1.10: SSL Required, , NFCSSL supported/t\r\n"
KEY_LOG = 1  # enum tls_key_source
CLASSIC_BYTES = 264
SECTORS = bytes(range(256)) * 8
TO_SERVER, TO_CLIENT = Direction.TO_SERVER, Direction.TO_CLIENT


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that the core said of a file."""

    events: list[RawEvent]
    counters: dict[str, int]

    def messages(self) -> list[tuple[Direction, Framed]]:
        return [
            (Direction(direction), Framed(*value))
            for kind, _, direction, _, _, value in self.events
            if kind == _core.MESSAGE
        ]

    def data(self) -> list[bytes]:
        return [framed.data for _, framed in self.messages() if not framed.flags & FramedFlag.BULK]

    def sessions(self) -> list[int]:
        """Sessions of TLS of which something was decrypted."""
        told = [value for kind, *_, value in self.events if kind == _core.TLS]
        return sorted({value[0] for value in told if value[4] == 1})

    def bulk(self) -> dict[Direction, int]:
        return {
            direction: framed.size_bytes
            for direction, framed in self.messages()
            if framed.flags & FramedFlag.BULK
        }


def seen_of(directory: Path, flow: Conversation, *keys: Path) -> Seen:
    path = write_pcap(directory / "flow.pcap", flow.packets())
    held = {"tls_held_bytes_max": 1 << 20, "tls_held_total_bytes_max": 1 << 20}
    settings = limits(**held, tls_held_timeout_ms=2000)
    source = _core.Source(_core.Interest(), settings, files=(str(path),))
    for key_log in keys:
        source.add_secrets(key_log.read_bytes(), KEY_LOG)
    seen = Seen(events_of(source), source.counters())
    for event in seen.events:
        assert PASSWORD not in repr(event).encode()
        assert CODED_PASSWORD not in repr(event).encode()
    return seen


def flow_to(port: int = 902) -> Conversation:
    flow = Conversation(CLIENT, 40_000, HOST, port)
    flow.answer(GREETING)
    return flow


def tls_on(flow: Conversation, directory: Path) -> TlsTalk:
    directory.mkdir()
    return TlsTalk(directory, flow)


def login(talk: TlsTalk) -> None:
    talk.exchange(b"USER root\r\n", b"331 Password required for root.\r\n")
    talk.exchange(b"PASS " + PASSWORD + b"\r\n", b"230 User root logged in.\r\n")


def proxied(talk: TlsTalk, service: bytes) -> None:
    talk.exchange(b"SESSION 52aa-bb\r\nPROXY " + service + b"\r\n", b"200 Connect ha-nfc\r\n")


def classic(number: int) -> bytes:
    return struct.pack("<I260x", number)


def frame(number: int, operation: int, payload: bytes, more: bytes = b"") -> bytes:
    return struct.pack("<IIII", 0xA100DA7A, number, len(payload), operation) + payload + more


def io(operation: int, more: bytes = b"") -> bytes:
    """A read, or, with what was read, its answer."""
    payload = struct.pack("<QQQIIIII", 0, 1, 0, len(more), 0, len(more), len(more), 0)
    return frame(7, operation, payload, more)


OPENED = frame(4, 1, struct.pack("<I12xII36x", 11, 2, 0x1E), b"[d] vm.vmdk")
ASKED = [classic(43), classic(52), OPENED, io(2), frame(3, 3, bytes(4)), classic(4)]
ANSWERED = [classic(52), io(2, SECTORS)]


def disk_seen(seen: Seen) -> None:
    """A disk was opened and read: its path, and how much, and nothing of what it holds."""
    after = [data for data in seen.data() if data[:4] != b"220 " and b"\r\n" not in data]
    assert OPENED in after
    assert after[-1] == classic(4)
    assert seen.bulk() == {TO_SERVER: len(io(2)), TO_CLIENT: len(io(2, SECTORS))}
    assert not any(SECTORS[:64] in data for data in seen.data())


@pytest.mark.parametrize("port", [902, 4711])
def test_a_login_inside_tls(tmp_path: Path, port: int) -> None:
    talk = tls_on(flow := flow_to(port), tmp_path / "authd")
    login(talk)
    seen = seen_of(tmp_path, flow, talk.keys)
    lines = [
        (TO_CLIENT, GREETING[:-2], 0),
        (TO_SERVER, b"USER root", FramedFlag.DECRYPTED),
        (TO_CLIENT, b"331 Password required for root.", FramedFlag.DECRYPTED),
        (TO_SERVER, b"PASS", FramedFlag.DECRYPTED | FramedFlag.BLANKED),
        (TO_CLIENT, b"230 User root logged in.", FramedFlag.DECRYPTED),
    ]
    assert [(way, framed.data, framed.flags) for way, framed in seen.messages()] == lines
    assert {framed.protocol for _, framed in seen.messages()} == {Framing.AUTHD}
    assert [framed.tls_session for _, framed in seen.messages()] == [0, 1, 1, 1, 1]
    assert seen.counters["framed_blanked"] == 1


def test_tls_that_stays_closed_is_silent(tmp_path: Path) -> None:
    talk = tls_on(flow := flow_to(), tmp_path / "authd")
    login(talk)
    assert seen_of(tmp_path, flow).data() == [GREETING[:-2]]


@pytest.mark.parametrize("is_open", [True, False])
def test_a_disk_in_clear_after_tls(tmp_path: Path, is_open: bool) -> None:
    """Both ends drop TLS without close_notify: NFC is in clear, even if authd was not opened."""
    talk = tls_on(flow := flow_to(), tmp_path / "authd")
    proxied(talk, b"vpxa-nfc")
    flow.say(b"".join(ASKED[:2]))
    flow.answer(ANSWERED[0])
    flow.say(b"".join(ASKED[2:4]))
    flow.answer(ANSWERED[1])
    flow.say(b"".join(ASKED[4:]))
    seen = seen_of(tmp_path, flow, *[talk.keys][: int(is_open)])
    disk_seen(seen)
    assert (b"PROXY vpxa-nfc" in seen.data()) == is_open
    assert {framed.tls_session for _, framed in seen.messages()} == ({0, 1} if is_open else {0})


def test_a_disk_in_a_second_tls(tmp_path: Path) -> None:
    first = tls_on(flow := flow_to(), tmp_path / "authd")
    proxied(first, b"vpxa-nfcssl")
    second = tls_on(flow, tmp_path / "nfc")
    second.exchange(b"".join(ASKED[:2]), ANSWERED[0])
    second.exchange(b"".join(ASKED[2:4]), ANSWERED[1])
    second.exchange(b"".join(ASKED[4:]), classic(4))
    seen = seen_of(tmp_path, flow, first.keys, second.keys)
    disk_seen(seen)
    assert seen.sessions() == [1, 2]
    assert seen.messages()[-1][1].tls_session == 2


def test_a_second_tls_alone_is_open(tmp_path: Path) -> None:
    """Of the first nothing is known: the greeting is enough to know what the second may carry."""
    first = tls_on(flow := flow_to(), tmp_path / "authd")
    proxied(first, b"vpxa-nfcssl")
    second = tls_on(flow, tmp_path / "nfc")
    second.exchange(b"".join(ASKED[:2]), ANSWERED[0])
    seen = seen_of(tmp_path, flow, second.keys)
    assert seen.data() == [GREETING[:-2], ASKED[0], ASKED[1], ANSWERED[0]]


def test_a_console_in_a_second_tls(tmp_path: Path) -> None:
    first = tls_on(flow := flow_to(), tmp_path / "authd")
    login(first)
    first.exchange(b"CONNECT /v/web01.vmx mks\r\n", b"200 Connect /v/web01.vmx\r\n")
    second = tls_on(flow, tmp_path / "mks")
    second.say(b"cZTna+MaH+m6rhTa")
    second.answer(b"RFB 003.008\n")
    second.say(b"RFB 003.008\n")
    second.answer(SECTORS)
    seen = seen_of(tmp_path, flow, first.keys, second.keys)
    consoles = [framed for _, framed in seen.messages() if framed.protocol == Framing.CONSOLE]
    assert consoles[0].data == b"RFB 003.008\n"
    assert seen.bulk() == {TO_SERVER: 28, TO_CLIENT: len(SECTORS)}


def vix_login(opcode: int = 78) -> bytes:
    credential = struct.pack("<II", 3, len(PASSWORD)) + CODED + b"\0"
    body = struct.pack("<iII", 0, 7, len(PASSWORD)) + b"/bin/ls\0" + PASSWORD + b"\0"
    body = body if opcode == 4 else b""
    total = 51 + len(body) + len(credential)
    common = struct.pack("<IHIIIIB", 0xD00D0001, 5, total, 51, len(body), len(credential), 1)
    return common + struct.pack("<IIIQII", opcode, 0, 0xFFFFFFFF, 7, 1, 1) + body + credential


@pytest.mark.parametrize("where", ["in clear", "in TLS", "after TLS", "in a second TLS"])
def test_guest_credentials_stay_here(tmp_path: Path, where: str) -> None:
    talk = tls_on(flow := flow_to(), tmp_path / "authd")
    keys = [talk.keys]
    login(talk)
    asked = vix_login() + vix_login(4)
    if where == "in TLS":
        talk.say(asked)
    else:
        talk.exchange(b"CONNECT /v/web01.vmx vix\r\n", b"200 Connect /v/web01.vmx\r\n")
    if where == "after TLS":
        flow.say(asked)
    if where == "in a second TLS":
        second = tls_on(flow, tmp_path / "vix")
        second.say(asked)
        keys.append(second.keys)
    if where == "in clear":
        flow = Conversation(CLIENT, 40_000, HOST, 61525)
        flow.say(asked)
    seen = seen_of(tmp_path, flow, *keys)
    found = [framed for _, framed in seen.messages() if framed.protocol == Framing.VIX]
    assert [framed.size_bytes for framed in found] == [len(vix_login()), len(vix_login(4))]
    assert all(framed.flags & FramedFlag.BLANKED for framed in found)
    assert b"Ym9iAAAA\0" in found[0].data
    assert b"/bin/ls\0\0" in found[1].data


def test_a_gap_is_told(tmp_path: Path) -> None:
    flow = flow_to(912)
    flow.say(b"USER bob\r\n")
    flow.answer(b"331 x\r\n")
    flow.say(b"PASS " + PASSWORD + b"\r\n")
    flow.answer(b"530 Login incorrect\r\n")
    flow.say(b"USER eve\r\n")
    packets = flow.packets()
    lost = next(packet for packet in packets if b"PASS" in packet.frame)
    write_pcap(tmp_path / "flow.pcap", [packet for packet in packets if packet is not lost])
    source = _core.Source(_core.Interest(), limits(), files=(str(tmp_path / "flow.pcap"),))
    seen = Seen(events_of(source), source.counters())
    gaps = [value for kind, *_, value in seen.events if kind == _core.GAP]
    assert gaps == [len(b"PASS " + PASSWORD + b"\r\n")]
    assert seen.data() == [GREETING[:-2], b"USER bob", b"331 x", b"530 Login incorrect"]
