"""Everything of port 902, bound to it: `from tests.scapy_layers.port902 import *`."""

import struct
from typing import Any

from scapy.config import conf
from scapy.layers.inet import TCP
from scapy.packet import Packet, bind_layers

from tests.scapy_layers.authd import Authd, AuthdCommand, AuthdReply, banner
from tests.scapy_layers.fields import fields
from tests.scapy_layers.heartbeat import Heartbeat
from tests.scapy_layers.nfc import AIO_MAGIC, CLASSIC_BYTES, TYPES, NfcAio, NfcClassic
from tests.scapy_layers.vix import (
    MAGIC,
    Vix,
    VixRequest,
    VixResponse,
    VixRunProgram,
    VixStartProgram,
    bare_name_password,
    name_password,
    saml,
)

__all__ = [
    "Authd", "AuthdCommand", "AuthdReply", "Heartbeat", "NfcAio", "NfcClassic", "Port902", "Vix",
    "VixRequest", "VixResponse", "VixRunProgram", "VixStartProgram", "banner",
    "bare_name_password", "name_password", "saml",
]  # fmt: skip


class Port902(Packet):
    """Dissects as what its first bytes say."""

    name = "port 902"
    fields_desc = fields()

    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *args: Any, **kargs: Any) -> Any:
        if not _pkt or len(_pkt) < 4:
            return conf.raw_layer
        (number,) = struct.unpack_from("<I", _pkt)
        if number == MAGIC:
            return Vix.dispatch_hook(_pkt)
        if number == AIO_MAGIC or (number in TYPES and len(_pkt) >= CLASSIC_BYTES):
            return NfcClassic.dispatch_hook(_pkt)
        line, end, _ = _pkt.partition(b"\r\n")
        if end and line[:3].isalnum() and min(line) >= 0x20:
            return Authd.dispatch_hook(_pkt)
        return conf.raw_layer


bind_layers(TCP, Port902, dport=902)
bind_layers(TCP, Port902, sport=902)
