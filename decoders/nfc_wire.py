"""Layouts of NFC messages (PROTOCOLS section 3), in the byte order of x86."""

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from decoders.message import DecodeError, Framed, FramedFlag, Target

CLASSIC_BYTES = 264
NAMES_MAX = 64  # of one message, that a record shows
TEXT_CHARS_MAX = 1024  # a path's; VMFS allows 255 in each part

AIO = Struct("<4xIII")  # magic, type, length of the payload, operation id
OPEN_FILE = Struct("<I12xII")  # length of the path; file type at 16, flags at 20
PUT = Struct("<4xIIIQQII")  # file type, flags, path, size, space, parent's path, raw device's path
GET = Struct("<4xIII")  # file type, length of the path, flags
NAMES = Struct("<4xIIH")  # length of the names, flags, count
STATUS = Struct("<4xIIHH")  # lengths of errors and data, failed, succeeded
ERROR = Struct("<4xIII")  # type, code, length of the text
OPEN_DISK = Struct("<4xII")  # length of the path, flags
CONNECTION = Struct("<4xII")  # lengths of the client's name and of its operation id

_FILE_TYPES = ("raw", "text", "disk", "delta_disk", "digest", "delta_digest", "rdm_disk", "object")
_DISKS = range(2, 7)
DISK, FILE = "VirtualDisk", "DatastoreFile"


class Classic(IntEnum):
    """Numbers of classic messages that say something; names are those of VMware's own code."""

    FILE_PUT = 1
    FILE_GET = 2
    FILE_COMPLETE = 3
    SESSION_COMPLETE = 4
    ERROR = 20
    FSSRVR_OPEN = 21
    FSSRVR_DISKGEO = 22
    FSSRVR_CLOSE = 24
    PUTFILE_DONE = 27
    FILE_DELETE = 31
    FILE_RENAME = 32
    FILE_COPY = 33
    FILE_CREATEDIR = 34
    FILEOP_STATUS = 36
    CONNECTION_DATA = 54  # named here; seen with ESXi 8


class Aio(IntEnum):
    ERROR = 1
    CLOSE_SESSION = 3
    OPEN_FILE = 4
    CLOSE_FILE = 5


class Names(NamedTuple):
    target: Target
    related: tuple[Target, ...] = ()


def named(file_type: int, path: str) -> Names:
    return Names(Target(DISK if file_type in _DISKS else FILE, name=path))


def file_type_of(number: int) -> tuple[tuple[str, str], ...]:
    return (("file_type", _FILE_TYPES[number]),) if number < len(_FILE_TYPES) else ()


def _raw(framed: Framed, at: int, length: int) -> bytes:
    """What follows a message; where the core cut it, what is there."""
    if length > len(framed.data) - at and not framed.flags & FramedFlag.CUT:
        raise DecodeError("a text beyond the end")
    return framed.data[at : at + length]


def text_of(framed: Framed, at: int, length: int) -> str:
    """Up to its NUL, if it has one."""
    text = _raw(framed, at, length).partition(b"\0")[0]
    return text.decode("utf-8", "replace")[:TEXT_CHARS_MAX]


def texts_of(framed: Framed, at: int, length: int, most: int) -> Names:
    """Names with a NUL after each, and one after all. Of a pair the first is the source."""
    texts = [text for text in _raw(framed, at, length).split(b"\0") if text][:most]
    found = [Target(FILE, name=text.decode("utf-8", "replace")[:TEXT_CHARS_MAX]) for text in texts]
    return Names(found[0], tuple(found[1:])) if found else Names(Target())
