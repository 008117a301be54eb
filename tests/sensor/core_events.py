"""A source of the core, everything it has to say, and files for it to read."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from decoders.message import Want
from sensor import _core
from sensor.settings import LimitSettings
from tests.conversation import Conversation, request, response
from tests.impair import Packet, decompressed, write_pcap

CAPTURES = Path(__file__).parents[1] / "captures"
CLIENT, SERVER = "10.1.1.11", "10.3.3.10"
WHOLE_BYTES = 64 << 20  # bodies as long as any in a capture
FILL_MS = 1000

RawEvent = tuple[int, int, int, int, int, Any]


def limits(**changed: int) -> dict[str, int]:
    """The defaults; what has none there is 0, which keeps nothing."""
    return dict.fromkeys(_core.LIMITS, 0) | asdict(LimitSettings()) | changed


def everything() -> _core.Interest:
    """Every HTTP transaction, with both bodies."""
    interest = _core.Interest()
    interest.path("*", "*", Want.REQUEST_BODY | Want.RESPONSE_BODY)
    return interest


def source_of(*files: Path | str, worker: int = 0, workers: int = 1) -> _core.Source:
    whole = limits(http_body_bytes_max=WHOLE_BYTES)
    names = tuple(map(str, files))
    return _core.Source(everything(), whole, files=names, worker=worker, workers=workers)


def batches_of(source: _core.Source, timeout_ms: int = FILL_MS) -> Iterator[_core.Batch]:
    """To the end of the input; that batch is the last one."""
    while True:
        batch = source.fill(timeout_ms)
        yield batch
        if batch.end:
            return


def events_of(source: _core.Source, timeout_ms: int = FILL_MS) -> list[RawEvent]:
    return [event for batch in batches_of(source, timeout_ms) for event in batch]


def plain(capture: Path, directory: Path) -> Path:
    """The capture, unpacked below directory."""
    path = directory / capture.name.removesuffix(".zst")
    path.write_bytes(decompressed(capture.read_bytes()))
    return path


def talks(count: int) -> Iterator[Conversation]:
    """Conversations of one request each, /api/0, /api/1, ..."""
    for number in range(count):
        talk = Conversation(CLIENT, 40_000 + number, SERVER)
        talk.say(request("GET", f"/api/{number}"))
        talk.answer(response(200, body=b"answer"))
        yield talk


def packets_of(count: int) -> list[Packet]:
    """`count` conversations at once: their packets have the same times."""
    packets = [packet for talk in talks(count) for packet in talk.packets()]
    return sorted(packets, key=lambda packet: packet.time_ns)


def talks_file(path: Path, count: int) -> Path:
    return write_pcap(path, packets_of(count))
