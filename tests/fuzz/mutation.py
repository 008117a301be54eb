"""Damage to a conversation: flipped bits, lying lengths, cuts, bytes put in, taken out, moved."""

from random import Random

from tests.fuzz.corpus902 import Talk

_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0xFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_EDGES = 8  # lengths off by so many
_HEADERS = (16, 23, 51, 264)  # an AIO frame's, VIX messages', a classic NFC message


def mutated(random: Random, data: bytes) -> bytes:
    """Half of the time behind a header, so that what follows it is read."""
    start = random.choice((0, 0, *_HEADERS))
    start = 0 if start >= len(data) else start
    piece = bytearray(data[start:])
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        if not piece:
            break
        _DAMAGES[random.randrange(len(_DAMAGES))](random, piece)
    return data[:start] + bytes(piece)


def mutated_talk(random: Random, talk: Talk, *, keep_lines: bool = False) -> Talk:
    """A few or most pieces damaged. `keep_lines`: line ends stay.

    Lines that run together are others: a password that becomes the end of a user's name cannot be
    told from one.
    """
    pieces = list(talk.pieces)
    share = random.choice((0.1, 0.3, 0.8))
    for at in range(talk.fixed, len(pieces)):
        if random.random() < share:
            by_client, data = pieces[at]
            if keep_lines:
                line = mutated(random, data.removesuffix(b"\r\n"))
                data = line.replace(b"\r", b".").replace(b"\n", b".") + b"\r\n"
            else:
                data = mutated(random, data)
            pieces[at] = (by_client, data)
    if random.random() < 0.2:
        at = random.randrange(talk.fixed, len(pieces)) if len(pieces) > talk.fixed else 0
        pieces = pieces[: max(at, talk.fixed)]
    return Talk(pieces, talk.fixed)


def _flip(random: Random, piece: bytearray) -> None:
    piece[random.randrange(len(piece))] ^= 1 << random.randrange(8)


def _flip_in_header(random: Random, piece: bytearray) -> None:
    piece[random.randrange(min(len(piece), 64))] ^= 1 << random.randrange(8)


def _number(random: Random, piece: bytearray) -> None:
    at = random.randrange(min(len(piece), 64))
    piece[at : at + 4] = random.choice(_NUMBERS).to_bytes(4, "little")[: len(piece) - at]


def _near(random: Random, piece: bytearray) -> None:
    """A little-endian number changed by little: what a length that lies looks like."""
    at = random.randrange(min(len(piece), 64))
    value = int.from_bytes(piece[at : at + 4], "little") + random.randint(-_EDGES, _EDGES)
    piece[at : at + 4] = (value & 0xFFFFFFFF).to_bytes(4, "little")[: len(piece) - at]


def _cut(random: Random, piece: bytearray) -> None:
    del piece[random.randrange(len(piece)) :]


def _take_out(random: Random, piece: bytearray) -> None:
    at = random.randrange(len(piece))
    del piece[at : at + random.randint(1, 8)]


def _put_in(random: Random, piece: bytearray) -> None:
    at = random.randrange(len(piece) + 1)
    piece[at:at] = random.randbytes(random.randint(1, 8))


def _repeat(random: Random, piece: bytearray) -> None:
    at = random.randrange(len(piece))
    piece[at:at] = piece[at : at + random.randint(1, 32)]


_DAMAGES = (_flip, _flip, _flip_in_header, _number, _near, _near, _cut, _take_out, _put_in, _repeat)
