"""Where fuzzing starts: real traffic and canary conversations, in the form each target reads."""

import struct
from collections.abc import Callable
from pathlib import Path

from tests.canaries import SOAP, Canaries, canary_capture, soap_messages
from tests.command import DEMO_CAPTURE
from tests.http2_talk import Http2Talk, plan
from tests.impair import Packet, read_pcap, write_gzip, write_pcap, write_pcapng, write_zstd

PACKETS_PER_SEED = 40
SEEDS_MAX = 150
TCP_PAYLOAD_AT = 14 + 20 + 20  # of the canary capture, which has no options
PORT_AT = 14 + 20
CHUNK = 0
CHUNK_BYTES_MAX = 0xFFFF


def engine(packets: list[Packet]) -> list[bytes]:
    """fuzz_engine.c: link type, no keys, then (time step, length, frame) of each packet."""
    seeds = []
    for start in range(0, len(packets), PACKETS_PER_SEED):
        parts = [b"\0\0\0"]
        for packet in packets[start : start + PACKETS_PER_SEED]:
            parts.append(struct.pack("<BH", 1, len(packet.frame)) + packet.frame)
        seeds.append(b"".join(parts))
    return seeds


def conversation(packets: list[Packet]) -> list[bytes]:
    """fuzz_conversation.c: port choice, then (step, length, payload) of one flow."""
    flows: dict[int, list[bytes]] = {}
    for packet in packets:
        source, target = struct.unpack_from(">HH", packet.frame, PORT_AT)
        payload = packet.frame[TCP_PAYLOAD_AT:]
        step = CHUNK | (source < target)
        parts = flows.setdefault(max(source, target), [b"\0"])
        if payload:
            parts.append(struct.pack("<BH", step, len(payload)) + payload)
    return [b"".join(parts) for parts in flows.values()]


def http2() -> list[bytes]:
    """fuzz_http2.c: the same form, without the first piece of each end."""
    seeds = []
    for seed in range(8):
        talk = Http2Talk()
        plan(seed, 6, long_bytes=200).run(talk)
        parts = [b"\0"]
        for by_client, content in talk.pieces[2:]:
            for at in range(0, len(content), CHUNK_BYTES_MAX):
                chunk = content[at : at + CHUNK_BYTES_MAX]
                parts.append(struct.pack("<BH", CHUNK | (not by_client), len(chunk)) + chunk)
        seeds.append(b"".join(parts))
    return seeds


def soap() -> list[bytes]:
    """fuzz_soap.c: how fast the body grows, then the body."""
    canaries = Canaries()
    requests = [soap_messages(canaries, case)[0] for case in SOAP]
    return [b"\x10" + sent.partition(b"\r\n\r\n")[2] for sent in requests]


def pcapfile(directory: Path, packets: list[Packet]) -> list[bytes]:
    plain = write_pcap(directory / "seed", packets[:20]).read_bytes()
    path = directory / "seed"
    return [
        plain,
        write_pcapng(path, packets[:20]).read_bytes(),
        write_gzip(path, plain).read_bytes(),
        write_zstd(path, plain).read_bytes(),
    ]


def _steps(*said: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack("<BH", step, len(content)) + content for step, content in said)


def authd() -> list[bytes]:
    """fuzz_authd.c: a login, a console, and a disk that is read."""
    frame = struct.Struct("<IIII")
    read = struct.pack("<QQQIIII", 0, 1, 0, 512, 0, 512, 512) + bytes(4)
    opened = (1, b"200 Connect ha-nfc\r\n")
    classic = [struct.pack("<I260x", kind) for kind in (43, 33, 52, 4)]
    return [
        _steps((0, b"USER bob\r\n"), (1, b"331 x\r\n"), (0, b"PASS x\r\n"), (1, b"230 x\r\n")),
        _steps((0, b"CONNECT /a.vmx mks\r\n"), opened, (1, b"RFB 003.008\n"), (0, b"x")),
        _steps((0, b"PROXY ha-nfc\r\n"), opened, *((0, each) for each in classic)),
        _steps(
            (0, b"PROXY ha-nfc\r\n"),
            opened,
            (0, frame.pack(0xA100DA7A, 4, 60, 1) + struct.pack("<I56x", 3) + b"[d]"),
            (0, frame.pack(0xA100DA7A, 7, 44, 2) + read),
            (1, frame.pack(0xA100DA7A, 7, 44, 2) + read + bytes(512)),
            (0, frame.pack(0xA100DA7A, 3, 4, 3) + bytes(4)),
        ),
    ]


def vix() -> list[bytes]:
    """fuzz_vix.c: a guest login, a program started, and their answers."""
    said = []
    for opcode, kind, body, credential in (
        (78, 1, b"", b"\3\0\0\0\1\0\0\0Ym9iAHgA\0"),
        (4, 1, struct.pack("<iII", 0, 3, 2) + b"ls\0x\0", b"\3\0\0\0\1\0\0\0bob\0x\0"),
    ):
        total = 51 + len(body) + len(credential)
        common = struct.pack("<IHIIII", 0xD00D0001, 5, total, 51, len(body), len(credential))
        asked = struct.pack("<BIIIQII", 1, opcode, 0, 0xFFFFFFFF, 7, 1, kind)
        said.append((0, common + asked + body + credential))
        common = struct.pack("<IHIIII", 0xD00D0001, 5, 51, 51, 0, 0)
        said.append((1, common + struct.pack("<BQIIIII", 0, 7, 0, 0, 0, 0, 0)))
    return [_steps(*said)]


def tap(packets: list[Packet]) -> list[bytes]:
    """fuzz_tap.c: records of a ring, each a conversation's words as a server's process has them."""
    seeds = []
    for spoken in conversation(packets):
        parts, at, offset = [b"\0"], 1, [0, 0]
        while at < len(spoken):
            step, length = struct.unpack_from("<BH", spoken, at)
            data = spoken[at + 3 : at + 3 + length][:16384]
            direction, at = int(step == CHUNK), at + 3 + length
            head = (1, 1, 1, offset[direction], 7, len(data), -1, 0, 1, direction, 2)
            event = struct.pack("=QQQQIIiHBBB7x", *head) + data
            parts.append(struct.pack("<H", len(event)) + event)
            offset[direction] += len(data)
        seeds.append(b"".join(parts))
    return seeds


def write_seeds(target: str, directory: Path) -> Path:
    """A folder of seeds for this target, made anew."""
    directory.mkdir(parents=True, exist_ok=True)
    recorded, canaries = read_pcap(DEMO_CAPTURE), canary_capture()[0]
    makers: dict[str, Callable[[], list[bytes]]] = {
        "engine": lambda: engine(recorded) + engine(canaries),
        "conversation": lambda: conversation(canaries),
        "http1": lambda: conversation(canaries),  # reads the same form
        "http2": http2,
        "soap": soap,
        "authd": authd,
        "vix": vix,
        "pcapfile": lambda: pcapfile(directory, recorded),
        "tap": lambda: tap(canaries),
    }
    made = makers[target]() if target in makers else []
    for number, seed in enumerate(made[:SEEDS_MAX]):
        (directory / f"{number:03}").write_bytes(seed)
    (directory / "seed").unlink(missing_ok=True)
    return directory
