"""NFC messages as clients and servers write them (PROTOCOLS section 3.2)."""

import struct

from tests.decoders.framed_crafting import C, S, Said, classic


def z(text: str) -> bytes:
    return text.encode() + b"\0"


def put(path: str, file_type: int = 0, parent: str = "", device: str = "") -> Said:
    names = [z(path), *(z(each) if each else b"" for each in (parent, device))]
    lengths = [len(each) for each in names]
    fields = struct.pack("<IIIQQII", file_type, 16, lengths[0], 900, 900, *lengths[1:])
    return classic(C, 1, fields, b"".join(names))


def get(path: str, file_type: int = 0) -> Said:
    return classic(C, 2, struct.pack("<III", file_type, len(path) + 1, 0), z(path))


def put_of_server(size_bytes: int) -> Said:
    return classic(S, 1, struct.pack("<IIIQQ", 0, 0, 2, size_bytes, size_bytes), b"x\0")


def open_disk(path: str, flags: int) -> Said:
    return classic(C, 21, struct.pack("<IIB", len(path) + 1, flags, 0), z(path))


def names(number: int, *paths: str, count: int = 0) -> Said:
    blob = b"".join(map(z, paths)) + b"\0"
    return classic(C, number, struct.pack("<IIH", len(blob), 2, count or len(paths)), blob)


def status(failed: int = 0, succeeded: int = 1) -> Said:
    errors = struct.pack("<H", 0) * (failed + 1) if failed else b""
    return classic(S, 36, struct.pack("<IIHH", len(errors), 0, failed, succeeded), errors)


def error(kind: int, code: int, text: str = "No such file") -> Said:
    return classic(S, 20, struct.pack("<III", kind, code, len(text) + 1), z(text))


def connection(name: str, operation_id: str) -> Said:
    rest = (name + operation_id).encode()
    return classic(C, 54, struct.pack("<II", len(name), len(operation_id)), rest)
