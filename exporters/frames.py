"""How a record lies in a segment of a spool: magic, size, number, CRC-32, then the record.

After damage the next good frame is found by its magic; the CRC covers all but the magic.
"""

import struct
import zlib
from collections.abc import Iterator

MAGIC = b"\xc1hop"  # 0xC1 begins nothing in msgpack and is in no UTF-8: no text can forge a frame
HEAD = struct.Struct("<4sIQI")
_CHECKED = struct.Struct("<IQ")

Frame = tuple[int, bytes, int]  # number, record, where the next one begins


def frame_of(number: int, record: bytes) -> bytes:
    size = len(record)
    return HEAD.pack(MAGIC, size, number, _checksum(size, number, record)) + record


def frames_in(data: bytes, *, search: bool = False) -> Iterator[Frame]:
    """Those that lie one after the other; with `search`, also those behind what is none."""
    at = 0
    while True:
        frame = _frame_at(data, at)
        if frame is None:
            at = data.find(MAGIC, at + 1) if search else -1
            if at < 0:
                return
        else:
            yield frame
            at = frame[2]


def _frame_at(data: bytes, at: int) -> Frame | None:
    begins = at + HEAD.size
    if len(data) - at < HEAD.size:
        return None
    magic, size, number, checksum = HEAD.unpack_from(data, at)
    if magic != MAGIC or size > len(data) - begins:
        return None
    record = data[begins : begins + size]
    return (number, record, begins + size) if checksum == _checksum(size, number, record) else None


def _checksum(size: int, number: int, record: bytes) -> int:
    return zlib.crc32(record, zlib.crc32(_CHECKED.pack(size, number)))
