"""Network file copy: classic messages of 264 bytes and what they name, and AIO frames."""

import struct
from typing import Any

from scapy.config import conf
from scapy.fields import (
    ByteField,
    FieldLenField,
    LEIntEnumField,
    LEIntField,
    LELongField,
    LEShortField,
    StrFixedLenField,
    StrLenField,
    XLEIntField,
)
from scapy.packet import Packet

from tests.scapy_layers.fields import ZerosTo, fields, names_in, text

CLASSIC_BYTES = 264
AIO_MAGIC = 0xA100DA7A
TYPES = names_in("""
    0 HANDSHAKE 1 FILE_PUT 2 FILE_GET 3 FILE_COMPLETE 4 SESSION_COMPLETE 5 OBSOLETE 6 RATE_CONTROL
    7 FILE_DATA 8 PING 20 ERROR 21 FSSRVR_OPEN 22 FSSRVR_DISKGEO 23 FSSRVR_IO 24 FSSRVR_CLOSE
    25 PUTFILESINFO 26 GETFILESINFO 27 PUTFILE_DONE 28 FSSRVR_DDBENUM 29 FSSRVR_DDBGET
    30 FSSRVR_DDBSET 31 FILE_DELETE 32 FILE_RENAME 33 FILE_COPY 34 FILE_CREATEDIR 35 UNUSED
    36 FILEOP_STATUS 37 ENUM_DISKEXTS 38 FILENAME_LIST 39 FSSRVR_MULTIIO 40 FSSRVR_ASM_MAP
    41 FSSRVR_CHM_MAP 42 FSSRVR_DDBREMOVE 43 CLIENTRANDOM 44 FSSRVR_UNMAP 45 FSSRVR_CKSM_XTNT
    46 FSSRVR_IO_EX 47 FSSRVR_MULTIIO_EX 48 FSSRVR_SYNC 49 FSSRVR_ASMR_MAP 50 FSSRVR_UNMAP_INF
    51 PROTOCOL_VERSION 52 AIO_SESSION_OPEN 54 CONNECTION_DATA 55 SESSION_FEATURES
""")
FILE_TYPES = names_in(
    "0 RAW 1 TEXT 2 DISK 3 DELTA_DISK 4 DIGEST 5 DELTA_DIGEST 6 RDM_DISK 7 OBJECT"
)
AIO_TYPES = names_in("""
    1 ERROR 2 OPEN_SESSION 3 CLOSE_SESSION 4 OPEN_FILE 5 CLOSE_FILE 7 IO 9 SET_SOCK_OPTS 11 DDB_GET
    22 SET_RES_POOL
""")


def _length_of(name: str) -> FieldLenField:
    return FieldLenField(f"{name}_length", None, fmt="<I", length_of=name)


class _Message(Packet):
    def guess_payload_class(self, payload: bytes) -> Any:
        return NfcClassic if len(payload) >= 16 else conf.raw_layer


class NfcClassic(_Message):
    """Any classic message; dissects as the one its number says, or as an AIO frame."""

    name = "NFC"
    fields_desc = fields(
        LEIntEnumField("type", 0, TYPES), StrFixedLenField("rest", b"", CLASSIC_BYTES - 4)
    )

    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *args: Any, **kargs: Any) -> Any:
        if cls is not NfcClassic or not _pkt or len(_pkt) < 4:
            return cls
        (number,) = struct.unpack_from("<I", _pkt)
        if number == AIO_MAGIC:
            return NfcAio.dispatch_hook(_pkt)
        return _CLASSES.get(number, cls)


def _classic(number: int, *each: Any) -> list[Any]:
    return [LEIntEnumField("type", number, TYPES), *each, ZerosTo("padding", CLASSIC_BYTES)]


class NfcFilePut(NfcClassic):
    """The path's length counts its NUL, which is part of it."""

    name = "NFC file put"
    fields_desc = fields(
        *_classic(
            1,
            LEIntEnumField("file_type", 0, FILE_TYPES),
            LEIntField("conversion_flags", 0),
            _length_of("path"),
            LELongField("file_size", 0),
            LELongField("space_required", 0),
            _length_of("parent"),
            _length_of("device"),
            ByteField("passthrough", 0),
            _length_of("policy"),
        ),
        text("path"),
        text("parent"),
        text("device"),
        text("policy"),
    )


class NfcFileGet(NfcClassic):
    name = "NFC file get"
    fields_desc = fields(
        *_classic(
            2,
            LEIntEnumField("file_type", 0, FILE_TYPES),
            _length_of("path"),
            LEIntField("conversion_flags", 0),
        ),
        text("path"),
    )


class NfcFileData(NfcClassic):
    name = "NFC file data"
    fields_desc = fields(
        *_classic(7), XLEIntField("magic", 0xABCDEFAB), _length_of("data"), text("data")
    )


class NfcError(NfcClassic):
    name = "NFC error"
    fields_desc = fields(
        *_classic(20, LEIntField("kind", 0), LEIntField("code", 0), _length_of("text")),
        text("text"),
    )


def _names(number: int) -> list[Any]:
    """A blob of names, each with its NUL."""
    head = (_length_of("names"), LEIntField("flags", 0), LEShortField("count", 0))
    return [*_classic(number, *head), text("names")]


class NfcFileDelete(NfcClassic):
    name = "NFC file delete"
    fields_desc = _names(31)


class NfcFileRename(NfcClassic):
    name = "NFC file rename"
    fields_desc = _names(32)


class NfcFileCopy(NfcClassic):
    name = "NFC file copy"
    fields_desc = _names(33)


class NfcCreateDirectory(NfcClassic):
    name = "NFC create directory"
    fields_desc = _names(34)


class NfcFileStatus(NfcClassic):
    name = "NFC file operation status"
    fields_desc = fields(
        *_classic(
            36,
            _length_of("errors"),
            _length_of("data"),
            LEShortField("failed", 0),
            LEShortField("succeeded", 0),
        ),
        text("errors"),
        text("data"),
    )


class NfcClientRandom(NfcClassic):
    name = "NFC client random"
    fields_desc = fields(
        LEIntEnumField("type", 43, TYPES),
        StrFixedLenField("random", b"PlainText", CLASSIC_BYTES - 4),
    )


class NfcVersion(NfcClassic):
    name = "NFC protocol version"
    fields_desc = fields(*_classic(51, LEIntField("version", 11)))


class NfcAioSession(NfcClassic):
    """Echoed by the server; AIO frames follow."""

    name = "NFC AIO session open"
    fields_desc = fields(*_classic(52))


class NfcConnection(NfcClassic):
    name = "NFC connection data"
    fields_desc = fields(
        *_classic(54, _length_of("client"), _length_of("operation_id")),
        text("client"),
        text("operation_id"),
    )


class NfcFeatures(NfcClassic):
    name = "NFC session features"
    fields_desc = fields(*_classic(55, LEIntField("features", 3)))


def _payload_length(packet: Any) -> int:
    return int(packet.payload_length)


def _aio(number: int, *each: Any, size: int | None = None) -> list[Any]:
    """Header; `size` is that of the payload proper, which alone the length counts."""
    length = LEIntField("payload_length", size or 0)
    return [
        XLEIntField("magic", AIO_MAGIC),
        LEIntEnumField("type", number, AIO_TYPES),
        length,
        LEIntField("operation", 0),
        *each,
        *([ZerosTo("padding", 16 + size)] if size else []),
    ]


class NfcAio(_Message):
    """Any AIO frame."""

    name = "NFC AIO"
    fields_desc = fields(
        XLEIntField("magic", AIO_MAGIC),
        LEIntEnumField("type", 0, AIO_TYPES),
        FieldLenField("payload_length", None, fmt="<I", length_of="content"),
        LEIntField("operation", 0),
        StrLenField("content", b"", length_from=_payload_length),
    )

    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *args: Any, **kargs: Any) -> Any:
        """A reply to OPEN_FILE has its number and not its length."""
        if cls is not NfcAio or not _pkt or len(_pkt) < 16:
            return cls
        _, number, length = struct.unpack_from("<III", _pkt)
        return _AIO_CLASSES.get((number, length), cls)


class NfcAioOpenFile(NfcAio):
    name = "NFC AIO open file"
    fields_desc = fields(
        *_aio(
            4,
            _length_of("path"),
            *(LEIntField(f"unknown{at}", 0) for at in (4, 8, 12)),
            LEIntEnumField("file_type", 2, FILE_TYPES),
            XLEIntField("flags", 0x1E),
            size=60,
        ),
        text("path"),
    )


class NfcAioOpenedFile(NfcAio):
    """The reply. Its size is not published; only where its fields stand is."""

    name = "NFC AIO file opened"
    fields_desc = fields(
        *_aio(
            4,
            LELongField("unknown0", 0),
            LELongField("handle", 0),
            StrFixedLenField("unknown16", b"", 12),
            LELongField("capacity", 0),
            LEIntField("sector_bytes", 512),
            size=40,
        ),
    )


class NfcAioCloseFile(NfcAio):
    name = "NFC AIO close file"
    fields_desc = fields(*_aio(5, LELongField("handle", 0), size=8))


_CLASSES: dict[int, type[NfcClassic]] = {
    1: NfcFilePut,
    2: NfcFileGet,
    7: NfcFileData,
    20: NfcError,
    31: NfcFileDelete,
    32: NfcFileRename,
    33: NfcFileCopy,
    34: NfcCreateDirectory,
    36: NfcFileStatus,
    43: NfcClientRandom,
    51: NfcVersion,
    52: NfcAioSession,
    54: NfcConnection,
    55: NfcFeatures,
}
_AIO_CLASSES: dict[tuple[int, int], type[NfcAio]] = {
    (4, 60): NfcAioOpenFile,
    (4, 40): NfcAioOpenedFile,
    (5, 8): NfcAioCloseFile,
}
