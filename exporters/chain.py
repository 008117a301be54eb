"""The lines of an evidence log: each is bound to the one before it, back to the first.

A line is a record, or a mark of the log itself, as canonical JSON (keys sorted, no spaces, UTF-8),
with `integrity` as its last member. `integrity.hash` is the SHA-256 of

    seq in decimal, newline, prev in hex, newline, the canonical JSON without `integrity`

so that a receiver of the record can compute it too. A file begins with an "open" mark. Every mark
names the line before it (`of`) and may be signed: over its canonical JSON without `signature`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

ORIGIN = "0" * 64  # `prev` of the first line of all
MARK_START = b'{"evidence":'  # no record begins so: `evidence` is no field of one
FILE_START = MARK_START + b'"open"'

_LINE = re.compile(
    rb'(.*),"integrity":\{"hash":"([0-9a-f]{64})","prev":"([0-9a-f]{64})","seq":(0|[1-9][0-9]{0,17})'
    rb"\}\}\n",
    re.DOTALL,
)
_encode_json = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), sort_keys=True, check_circular=False
).encode


@dataclass(frozen=True, slots=True)
class Head:
    """The last line of a log; it vouches for all before it."""

    seq: int = -1
    hash: str = ORIGIN

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it says of itself; `is_intact` tells whether its own hash is right."""

    body: bytes  # canonical JSON without integrity
    seq: int
    prev: str
    hash: str

    @property
    def head(self) -> Head:
        return Head(self.seq, self.hash)

    @property
    def is_intact(self) -> bool:
        return _hash(self.seq, self.prev, self.body) == self.hash

    def follows(self, head: Head) -> bool:
        return self.seq == head.seq + 1 and self.prev == head.hash

    @property
    def mark(self) -> dict[str, Any] | None:
        """What the log says of itself in this line; None when it is a record."""
        if not self.body.startswith(MARK_START):
            return None
        mark: dict[str, Any] = json.loads(self.body)
        return mark


def canonical(tree: Mapping[str, Any]) -> bytes:
    """Keys sorted, no spaces, UTF-8; numbers as Python writes them, a lone surrogate escaped."""
    return _encode_json(tree).encode("utf-8", "backslashreplace")


def bind(head: Head, body: bytes) -> tuple[bytes, Head]:
    """The line that holds this canonical JSON after `head`, and the head that it is."""
    seq = head.seq + 1
    digest = _hash(seq, head.hash, body)
    integrity = f',"integrity":{{"hash":"{digest}","prev":"{head.hash}","seq":{seq}}}}}\n'
    return body[:-1] + integrity.encode(), Head(seq, digest)


def read(line: bytes) -> Line | None:
    """A line of a file, with its newline; None when it has not the form of one."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    body, digest, prev, seq = found.groups()
    return Line(body + b"}", int(seq), prev.decode(), digest.decode())


def signed_part(mark: Mapping[str, Any]) -> bytes:
    """What the signature of a mark is over."""
    return canonical({name: value for name, value in mark.items() if name != "signature"})


def _hash(seq: int, prev: str, body: bytes) -> str:
    return sha256(b"%d\n%s\n%s" % (seq, prev.encode(), body)).hexdigest()
