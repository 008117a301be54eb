"""Flows of TCP 902 through core and decoders: made ones at any split, recorded ones damaged."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from decoders.message import Call, Login, Message, Moved, ServerSeen
from tests.canaries import Canaries
from tests.canaries902 import dialogs
from tests.command import hoptap, read_records, write_config
from tests.conversation import Conversation, one_after_another
from tests.decoders.framed_crafting import (
    BANNER,
    ESX,
    PLAIN,
    TICKET,
    VMX,
    C,
    Said,
    Step,
    close_file,
    open_file,
    opened_file,
)
from tests.decoders.nfc_crafting import connection, error, get, names, put, put_of_server, status
from tests.impair import Packet, drop, read_pcap, reorder, retransmit, second_span, write_pcap
from tests.leaks import leaks
from tests.packaged import capture_of, tls_secrets_of
from tests.sensor.core_events import CLIENT, SERVER, plain
from tests.sensor.said902 import hashed, said_of
from tests.truth902 import differences, lines_of, tickets

NAME = "authd902-tls13"
DISK = "[ds] web01/web01.vmdk"


def lines(*said: str) -> list[tuple[bool, bytes]]:
    """Client lines begin with a capital letter, server lines with a digit."""
    return [(not each[0].isdigit(), each.encode() + b"\r\n") for each in said]


def on_the_wire(steps: Sequence[Step]) -> list[tuple[bool, bytes]]:
    return [(each.direction == C, each.framed.data) for each in steps if isinstance(each, Said)]


def file_data(content: bytes) -> bytes:
    head = (7).to_bytes(4, "little").ljust(264, b"\0")
    return head + b"\xab\xef\xcd\xab" + len(content).to_bytes(4, "little") + content


REFUSED = "530 Login incorrect."
LOGIN = lines(PLAIN, "USER root", "331 Password required for root.", "PASS s3cr3t!")
OPENED = [*LOGIN, *lines("230 User root logged in.", "PROXY ha-nfc", "200 Connect ha-nfc")]
FLOWS: dict[str, tuple[list[tuple[bool, bytes]], list[str]]] = {
    "guessing": (
        [*LOGIN, *lines(REFUSED, "USER x", "331 ?", "PASS s3cr3t!", REFUSED)],
        ["login root failure", "login x failure"],
    ),
    "files": (
        [
            *OPENED,
            *on_the_wire([put("[ds] a.iso")]),
            (True, file_data(b"s3cr3t!" * 9000)),
            (True, file_data(b"")),
            (False, (27).to_bytes(4, "little").ljust(264, b"\0")),
            *on_the_wire([names(32, "[ds] a.iso", "[ds] b.iso"), status()]),
            *on_the_wire([names(31, "[ds] b.iso", "[ds] c.iso"), status(1)]),
            *on_the_wire([get("[ds] d.log"), put_of_server(7)]),
            (False, file_data(b"s3cr3t!")),
            *on_the_wire([get("[ds] e.log"), error(1, 2)]),
        ],
        [
            "login root success",
            "PROXY success service=ha-nfc",
            "NfcFilePut [ds] a.iso success intent=write",
            "NfcFileRename [ds] a.iso success intent=write",
            "NfcFileDelete [ds] b.iso failure intent=write",
            "NfcFileGet [ds] d.log success intent=read",
            "NfcFileGet [ds] e.log failure intent=read",
        ],
    ),
    "disk": (
        [
            *OPENED,
            *on_the_wire([connection("vddk", "nbd")]),
            (True, (52).to_bytes(4, "little").ljust(264, b"\0")),
            (False, (52).to_bytes(4, "little").ljust(264, b"\0")),
            *on_the_wire([open_file(0, DISK, 0x1A), opened_file(0, 7), *close_file(1, 7)]),
            *on_the_wire([open_file(2, DISK, 0x1E)]),
        ],
        [
            "login root success",
            "PROXY success service=ha-nfc",
            f"NfcOpenFile {DISK} success intent=write",
            f"NfcOpenFile {DISK} unknown intent=read",
        ],
    ),
    "console": (
        [
            *lines(PLAIN, f"USER {TICKET}", "331 ?", f"PASS {TICKET}", f"230 User {TICKET} is in."),
            *lines(f"CONNECT {VMX} mks", f"200 Connect {VMX}"),
            (False, b"RFB 003.008\n" + b"s3cr3t!" * 100),
        ],
        ["login ticket success", "CONNECT web01 success service=mks"],
    ),
    "clear host": (lines(ESX), ["ESX 1.10"]),
    "workstation": (lines(BANNER + "NFCSSL supported/t"), []),
}  # fmt: skip


def told(message: Message) -> str:
    match message:
        case Login():
            assert message.ticket in ("", hashed(TICKET))
            return f"login {message.user or message.method.value} {message.outcome.value}"
        case ServerSeen():
            return f"{message.service} {message.version}"
        case Call():
            key, value = message.details[0]
            words = [message.operation, message.target.name, message.outcome.value]
            return " ".join(filter(None, [*words, f"{key}={value}"]))
    return type(message).__name__


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("chunk_bytes", [0, 1, 7, 300])
def test_flows_at_any_split(name: str, chunk_bytes: int, tmp_path: Path) -> None:
    parts, expected = FLOWS[name]
    talk = Conversation(CLIENT, 40_000, SERVER, 902)
    for by_client, content in parts:
        step = chunk_bytes if chunk_bytes and len(content) < 5000 else len(content)
        talk.parts += [(by_client, content[at : at + step]) for at in range(0, len(content), step)]
    listener, streams = said_of(write_pcap(tmp_path / "made.pcap", talk.packets()))
    said = [message for _, message, _ in listener.said]
    assert [told(each) for each in said if not isinstance(each, Moved)] == expected
    assert not streams.decode_errors and not listener.missing_bytes
    text = repr(listener.said)
    assert "s3cr3t!" not in text and TICKET not in text


def test_bytes_moved_are_those_of_the_file(tmp_path: Path) -> None:
    talk = Conversation(CLIENT, 40_000, SERVER, 902, FLOWS["files"][0])
    listener, _ = said_of(write_pcap(tmp_path / "made.pcap", talk.packets()))
    moved = [each for _, each, _ in listener.said if isinstance(each, Moved)]
    head = 264 + 8
    assert [(each.to_server_bytes, each.to_client_bytes) for each in moved] == [
        (7 * 9000 + 2 * head, 0),
        (0, 7 + head),
    ]


LATE_NS = 10**8  # packets that change places take each other's times
HARMLESS: dict[str, Callable[[Sequence[Packet]], list[Packet]]] = {
    "reordered": lambda packets: reorder(packets, 0.1, seed=5, carry_times=False),
    "two spans": lambda packets: second_span(packets, seed=3),
    "retransmitted": lambda packets: retransmit(packets, 0.1, seed=4),
}


@pytest.mark.parametrize("damage", HARMLESS)
def test_harmless_damage_changes_nothing(damage: str, tmp_path: Path) -> None:
    packets = HARMLESS[damage](read_pcap(plain(capture_of(NAME), tmp_path)))
    listener, streams = said_of(write_pcap(tmp_path / "d.pcap", packets), tls_secrets_of(NAME))
    assert differences(listener.said, lines_of(NAME), hashed, LATE_NS) == []
    assert not streams.decode_errors


@pytest.mark.parametrize("seed", range(4))
def test_loss_invents_nothing(seed: int, tmp_path: Path) -> None:
    packets = drop(read_pcap(plain(capture_of(NAME), tmp_path)), 0.02, seed)
    listener, _ = said_of(write_pcap(tmp_path / "d.pcap", packets), tls_secrets_of(NAME))
    wrong = differences(listener.said, lines_of(NAME), hashed)
    assert [each for each in wrong if each.startswith("invented")] == []
    assert len(wrong) < 20
    text = repr(listener.said)
    assert [ticket for ticket in tickets(lines_of(NAME)) if ticket in text] == []


def test_canaries(tmp_path: Path) -> None:
    canaries = Canaries()
    talks = dialogs(canaries, CLIENT, SERVER)
    capture = write_pcap(tmp_path / "canaries.pcap", one_after_another(talks))
    content = capture.read_bytes()
    assert all(leaks(content, {secret: what}) for secret, what in canaries.secrets.items())
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    config, out, history = write_config(data_dir), data_dir / "out.ndjson", data_dir / "history.db"
    options = ("--debug", "-c", config, "--out", out, "--history", history)
    done = hoptap("replay", *options, capture)
    written = [path.read_bytes() for path in data_dir.iterdir() if path.name != "hash.key"]
    for said in (done.stdout.encode(), done.stderr.encode(), *written):
        assert leaks(said, canaries.secrets) == []
    logins = [record for record in read_records(out) if record["kind"] == "login"]
    assert len(logins) == 13  # 2 dialogs ask for none, one of 2 tickets was not judged
