"""Where fuzzing starts: real traffic and canary conversations, in the form each target reads."""

import struct
from collections.abc import Callable
from pathlib import Path

from tests.canaries import SOAP, Canaries, canary_capture, soap_messages
from tests.command import DEMO_CAPTURE
from tests.impair import Packet, read_pcap, write_gzip, write_pcap, write_pcapng, write_zstd

PACKETS_PER_SEED = 40
SEEDS_MAX = 150
TCP_PAYLOAD_AT = 14 + 20 + 20  # of the canary capture, which has no options
PORT_AT = 14 + 20
CHUNK = 0


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


def write_seeds(target: str, directory: Path) -> Path:
    """A folder of seeds for this target, made anew."""
    directory.mkdir(parents=True, exist_ok=True)
    recorded, canaries = read_pcap(DEMO_CAPTURE), canary_capture()[0]
    makers: dict[str, Callable[[], list[bytes]]] = {
        "engine": lambda: engine(recorded) + engine(canaries),
        "conversation": lambda: conversation(canaries),
        "http1": lambda: conversation(canaries),  # reads the same form
        "soap": soap,
        "pcapfile": lambda: pcapfile(directory, recorded),
    }
    made = makers[target]() if target in makers else []
    for number, seed in enumerate(made[:SEEDS_MAX]):
        (directory / f"{number:03}").write_bytes(seed)
    (directory / "seed").unlink(missing_ok=True)
    return directory
