"""Records as the bytes of a message: what every transport of documents begins with."""

import json
from collections.abc import Iterator, Sequence

import msgpack

from exporters.formats.format import Document, Format
from exporters.transport import Tree

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_bytes(value: object) -> bytes:
    """One line. A lone surrogate becomes its JSON escape, as in sensor.records.encode_ndjson."""
    return _encode(value).encode("utf-8", "backslashreplace")


def msgpack_bytes(value: object) -> bytes:
    packed: bytes = msgpack.packb(value, unicode_errors="backslashreplace")
    return packed


def document_of(format: Format, record: Tree) -> Document:
    """What the format makes of it; a line of text becomes the document's message."""
    rendered = format.render(record)
    return {"message": rendered} if isinstance(rendered, str) else rendered


def payload_of(format: Format, record: Tree) -> bytes:
    """A message of a bus, whole: JSON, msgpack, or the line."""
    rendered = format.render(record)
    if isinstance(rendered, str):
        return rendered.encode("utf-8", "backslashreplace")
    return msgpack_bytes(rendered) if format.name == "msgpack" else json_bytes(rendered)


def parts(payloads: Sequence[bytes], bytes_max: int) -> Iterator[range]:
    """Numbers of payloads that go together, each run within `bytes_max` or of one payload."""
    first = size = 0
    for number, payload in enumerate(payloads):
        if number > first and size + len(payload) > bytes_max:
            yield range(first, number)
            first, size = number, 0
        size += len(payload)
    if first < len(payloads):
        yield range(first, len(payloads))


def one_line(text: str, chars_max: int = 300) -> str:
    """What a receiver said, fit for an error line: no control characters, cut."""
    words = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return words if len(words) <= chars_max else words[: chars_max - 1] + "…"
