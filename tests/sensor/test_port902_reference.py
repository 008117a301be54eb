"""What hoptap says of random valid conversations of port 902 is what the reference layers read.

The packets are split anywhere; the layers dissect each message whole.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from decoders.message import (
    Call,
    Framed,
    Framing,
    GuestLogin,
    HostBeat,
    Login,
    LoginMethod,
    Message,
    Outcome,
)
from decoders.vix_opcodes import CLASSES, OPEN_VM
from sensor import _core
from sensor.flows import Flow
from sensor.records import Record, Tls
from sensor.streams import interest_of
from sensor.tls import TlsSeen
from tests.conversation import START_NS
from tests.fuzz.corpus902 import TALKS, Talk, shows_canary
from tests.fuzz.messages import PORT, TCP, decode, packets_of
from tests.impair import write_pcap
from tests.scapy_layers import authd, nfc, vix
from tests.scapy_layers.heartbeat import Heartbeat
from tests.scapy_layers.port902 import Port902
from tests.sensor.core_events import batches_of, limits

TALKS_EACH = 60
SUCCESS, FAILURE = Outcome.SUCCESS, Outcome.FAILURE


@dataclass
class Told:
    """Messages by the client's port."""

    messages: dict[int, list[Message]] = field(default_factory=dict)

    def message(
        self, flow: Flow, message: Message, visibility: str = "clear", tls: Tls | None = None
    ) -> list[Record]:
        assert (visibility, tls) == ("clear", None)
        self.messages.setdefault(flow.client_port, []).append(message)
        return []

    def tls(self, flow: Flow, seen: TlsSeen, time_ns: int) -> None:
        raise AssertionError("no TLS was sent")

    def tapped(self, flow: Flow, time_ns: int) -> None:
        raise AssertionError("there is no tap")

    def gap(
        self, flow: Flow, direction: int, size_bytes: int, time_ns: int, tls: Tls | None = None
    ) -> list[Record]:
        raise AssertionError("nothing was lost")

    def proxy_header(
        self, flow: Flow, client_ip: str, client_port: int, time_ns: int, certificate: str = ""
    ) -> None:
        raise AssertionError("no header was sent")

    def flow_end(self, flow: Flow, time_ns: int) -> list[Record]:
        return []

    def advance(self, watermark_ns: int) -> list[Record]:
        return []


def read_authd(talk: Talk) -> list[tuple[Any, ...]]:
    """(method, user, outcome) of logins and (verb, argument) of what was then opened."""
    facts: list[tuple[Any, ...]] = []
    asked: list[Any] = []
    user, has_ticket = b"", False
    for number, (by_client, data) in enumerate(talk.pieces):
        line = Port902(data)
        if by_client:
            has_ticket |= line.verb == b"SESSION"
            asked += [line] if line.verb != b"SESSION" else []
            user = line.argument if line.verb == b"USER" else user
            continue
        if number == 0:
            continue
        assert isinstance(line, authd.AuthdReply)
        request = asked.pop(0)
        if has_ticket and line.code in (b"200", b"530"):
            facts.append((LoginMethod.TICKET, "", SUCCESS if line.code == b"200" else FAILURE))
            has_ticket = False
        if request.verb == b"PASS":
            outcome = SUCCESS if line.code == b"230" else FAILURE
            facts.append((LoginMethod.PASSWORD, user.decode(), outcome))
        elif request.verb in (b"PROXY", b"CONNECT"):
            facts.append((request.verb.decode(), request.argument.decode()))
    return facts


def said_authd(messages: Iterable[Message]) -> list[tuple[Any, ...]]:
    facts: list[tuple[Any, ...]] = []
    for message in messages:
        if isinstance(message, Login):
            facts.append((message.method, message.user, message.outcome))
        elif isinstance(message, Call):
            argument = dict(message.details)["service"]
            if message.operation == "CONNECT":
                argument = f"{message.related[0].name} {argument}"
            facts.append((message.operation, argument))
    return facts


_NFC: dict[type, str] = {
    nfc.NfcFileGet: "NfcFileGet",
    nfc.NfcFilePut: "NfcFilePut",
    nfc.NfcFileDelete: "NfcFileDelete",
    nfc.NfcFileRename: "NfcFileRename",
    nfc.NfcAioOpenFile: "NfcOpenFile",
}


def read_nfc(talk: Talk) -> list[tuple[Any, ...]]:
    """(operation, paths, outcome, intent) of every request that names something."""
    facts: list[tuple[Any, ...]] = []
    waiting: list[tuple[Any, ...]] = []
    for by_client, data in talk.pieces[talk.fixed :]:
        message = Port902(data)
        operation = _NFC.get(type(message))
        if by_client and operation:
            names = message.names if hasattr(message, "names") else message.path
            paths = [name.decode() for name in names.split(b"\0") if name]
            reads = operation == "NfcFileGet" or (
                isinstance(message, nfc.NfcAioOpenFile) and message.flags == 0x1E
            )
            waiting.append((operation, tuple(paths), "read" if reads else "write"))
        elif not by_client and waiting and _decides(message):
            asked = waiting.pop(0)
            failed = isinstance(message, nfc.NfcError) or getattr(message, "failed", False)
            facts.append((*asked, FAILURE if failed else SUCCESS))
    assert not waiting
    return facts


def _decides(message: Any) -> bool:
    kinds = (nfc.NfcFilePut, nfc.NfcError, nfc.NfcFileStatus, nfc.NfcAioOpenedFile)
    return isinstance(message, kinds) or (
        not isinstance(message, nfc.NfcAio) and message.type == 27
    )


def said_nfc(messages: Iterable[Message]) -> list[tuple[Any, ...]]:
    return [
        (
            call.operation,
            tuple(target.name for target in (call.target, *call.related)),
            dict(call.details)["intent"],
            call.outcome,
        )
        for call in messages
        if isinstance(call, Call) and call.api == "nfc"
    ]


_USERS: dict[type, Callable[[Any], bytes]] = {
    vix.VixNamePassword: lambda region: region.user,
    vix.VixBareNamePassword: lambda region: region.user,
    vix.VixSaml: lambda region: region.user or b"alice@vsphere.local",
    vix.VixSspi: lambda region: b"CORP\\eve",
}


def read_vix(talk: Talk) -> list[tuple[Any, ...]]:
    """(operation, outcome, error, user, interactive, first name of the body) of every action."""
    facts: list[tuple[Any, ...]] = []
    requests: dict[int, Any] = {}
    for by_client, data in talk.pieces[talk.fixed :]:
        message = Port902(data)
        if by_client:
            requests[message.cookie] = message
            continue
        request = requests.pop(message.cookie)
        if request.opcode not in CLASSES:
            continue
        in_guest = CLASSES[request.opcode] == "guest"
        error = vix.ERRORS[message.error]
        facts.append((
            f"VIX_COMMAND_{vix.OPCODES[request.opcode]}",
            FAILURE if message.error else SUCCESS,
            f"VIX_E_{error}" if message.error else "",
            _user_of(request) if in_guest else "",
            in_guest and bool(request.request_flags & 8),
            _configuration(request) or _first_name(request.body),
        ))  # fmt: skip
    return facts


def _user_of(request: Any) -> str | None:
    """None: by another message than this one."""
    if request.credential_type in (0, 9):
        return None
    read = _USERS.get(type(request.credential))
    user = read(request.credential).decode() if read is not None else ""
    return "" if user.startswith("__VMware") else user


def _configuration(request: Any) -> str:
    return bytes(request.body).strip(b"\0").decode() if request.opcode == OPEN_VM else ""


def _first_name(body: Any) -> str:
    for name in ("program", "interpreter", "path", "old", "user", "label"):
        if body is not None and name in [each.name for each in body.fields_desc]:
            return str(getattr(body, name).decode())
    return str(body.pid) if isinstance(body, vix.VixKill) else ""


def said_vix(messages: Iterable[Message]) -> list[tuple[Any, ...]]:
    return [
        (
            call.operation,
            call.outcome,
            call.fault,
            call.guest_user,
            call.guest_interactive,
            (call.related[0].name or call.related[0].id) if call.related else "",
        )
        for call in messages
        if isinstance(call, Call) and call.api == "vix"
    ]


def read_heartbeat(talk: Talk) -> list[tuple[Any, ...]]:
    beats = [Heartbeat(data) for _, data in talk.pieces]
    return [
        (beat.host_key.decode(), beat.address.decode(), beat.build_number, beat.counter)
        for beat in beats
    ]


def said_heartbeat(messages: Iterable[Message]) -> list[tuple[Any, ...]]:
    return [
        (beat.host_key, beat.address, beat.build, beat.counter)
        for beat in messages
        if isinstance(beat, HostBeat)
    ]


READERS = {
    "authd": (read_authd, said_authd),
    "nfc": (read_nfc, said_nfc),
    "aio": (read_nfc, said_nfc),
    "vix": (read_vix, said_vix),
    "heartbeat": (read_heartbeat, said_heartbeat),
}


def _agree(read: tuple[Any, ...], said: tuple[Any, ...]) -> bool:
    return all(left is None or left == right for left, right in zip(read, said, strict=True))


@pytest.mark.parametrize("protocol", TALKS)
@pytest.mark.parametrize("seed", range(2))
def test_both_read_the_same(protocol: str, seed: int, tmp_path: Path) -> None:
    random = Random(f"{protocol} {seed} valid")
    talks = [TALKS[protocol](random) for _ in range(TALKS_EACH)]
    packets = [
        packet
        for number, talk in enumerate(talks)
        for packet in packets_of(protocol, random, number, talk, START_NS + number * 10**9)
    ]
    told = Told()
    streams = decode(write_pcap(tmp_path / "valid.pcap", packets), told)
    assert streams.decode_errors.total() == 0
    read_talk, read_messages = READERS[protocol]
    facts = 0
    for number, talk in enumerate(talks):
        read = read_talk(talk)
        said = read_messages(told.messages.get(20000 + number, []))
        assert len(read) == len(said), (read, said)
        assert all(_agree(*pair) for pair in zip(read, said, strict=True)), (read, said)
        facts += len(read)
    assert facts >= TALKS_EACH
    if protocol == "vix":
        assert any(isinstance(each, GuestLogin) for said in told.messages.values() for each in said)


NAMED = (0, 1, 2, 3, 4, 5, 6, 7, 8)  # the credential types of which no secret is of use


@pytest.mark.parametrize("protocol", ["authd", "vix"])
def test_no_password_leaves_the_core(protocol: str, tmp_path: Path) -> None:
    random = Random(f"{protocol} secrets")
    packets = [
        packet
        for number in range(TALKS_EACH)
        for packet in packets_of(protocol, random, number, TALKS[protocol](random), START_NS)
    ]
    capture = write_pcap(tmp_path / "secrets.pcap", packets)
    source = _core.Source(interest_of((), ((TCP, PORT),)), limits(), files=(str(capture),))
    seen = 0
    for kind, *_, value in (event for batch in batches_of(source) for event in batch):
        if kind != _core.MESSAGE or not _is_secretive(framed := Framed._make(value)):
            continue
        seen += 1
        assert not shows_canary(framed.data.decode("latin-1")), framed.data
    source.close()
    assert seen > TALKS_EACH


def _is_secretive(framed: Framed) -> bool:
    """Had a secret that no decoder needs, as against a ticket, of which it makes a hash."""
    if framed.protocol == Framing.AUTHD:
        return framed.data.startswith(b"PASS")
    if framed.protocol != Framing.VIX or not framed.data[22] & 1:
        return False
    return int.from_bytes(framed.data[47:51], "little") in NAMED
