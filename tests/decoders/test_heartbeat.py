"""UDP 902: which host lives, and everything that is no heartbeat."""

import random
import struct

import pytest

from decoders.heartbeat import Heartbeat
from decoders.message import DecodeError, HostBeat, Message

KEY = "8f281ef1-6f00-5a2b-9f43-a3393fd99c27"


def beat(
    key: bytes = KEY.encode(),
    address: bytes = b"10.77.4.12",
    build: int = 20_513_097,
    counter: int = 144_952,
    signature: bytes = bytes(16),
    magic: int = 0xA4,
) -> bytes:
    head = struct.pack("<IIIB", magic, build, 1, len(key)) + key
    counts = struct.pack("<iiiIB", -1, 2, 0, counter, len(address)) + address
    return head + counts + signature


def decode(payload: bytes) -> list[Message]:
    return Heartbeat().datagram(payload, 5)


def said(key: str = KEY, address: str = "10.77.4.12", counter: int = 144_952) -> list[Message]:
    return [
        HostBeat(
            time_ns=5,
            end_ns=5,
            host_key=key,
            address=address,
            build=20_513_097,
            counter=counter,
        )
    ]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (beat(), said()),
        (beat(signature=b""), said()),
        (beat(counter=2**32 - 1), said(counter=2**32 - 1)),
        (beat(b"host-23", b"10.1.2.3", signature=bytes(21)), said("host-23", "10.1.2.3")),  # 66
        (beat(signature=bytes(range(256)) + bytes(2)), said()),  # 334
    ],
)
def test_beats(payload: bytes, expected: list[Message]) -> None:
    assert decode(payload) == expected


@pytest.mark.parametrize("counter", [144_952, 144_896, 1])
def test_a_counter_a_byte_early(counter: int) -> None:
    payload = bytearray(beat())
    at = 13 + len(KEY)
    payload[at : at + 16] = struct.pack("<I7xIx", counter, counter)
    assert decode(bytes(payload)) == said(counter=counter)


def test_lengths_seen_in_the_field() -> None:
    assert len(beat(b"host-23", b"10.1.2.3", signature=bytes(21))) == 66
    assert len(beat(signature=bytes(range(256)) + bytes(2))) == 334


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(13),
        bytes(66),
        beat(key=b""),
        beat(key=b"caf\xe9"),
        beat(key=b"a\0b"),
        beat(address=b""),
        beat(address=b"10.77.4"),
        beat(address=b"10.77.4.256"),
        beat(address=b"010.77.4.12"),
        beat(address=b"2001:db8::1"),
        beat(address=b"10.77.4.12 "),
        beat(address=b"1.2.3.4" * 3),
        beat(signature=b"")[:-1],
        beat()[:40],
        beat(signature=bytes(2000)),
    ],
)
def test_no_beats(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(payload)


@pytest.mark.parametrize("seed", range(200))
def test_mutations_break_nothing(seed: int) -> None:
    choice = random.Random(seed)
    payload = bytearray(beat(signature=choice.randbytes(choice.randrange(300))))
    for _ in range(choice.randrange(8)):
        payload[choice.randrange(len(payload))] = choice.randrange(256)
    cut = bytes(payload[: choice.randrange(len(payload) + 1)]) if seed % 3 else bytes(payload)
    try:
        (found,) = decode(cut)
    except DecodeError:
        return
    assert isinstance(found, HostBeat)
    assert found.host_key.isprintable() and found.address.count(".") == 3
