"""UDP 902: what a host tells its vCenter every ten seconds."""

from typing import Any

from scapy.fields import (
    FieldLenField,
    LEIntField,
    LESignedIntField,
    StrField,
    StrLenField,
    XLEIntField,
)
from scapy.layers.inet import UDP
from scapy.packet import Packet, bind_layers

from tests.scapy_layers.fields import fields


def _key_length(packet: Any) -> int:
    return int(packet.host_key_length)


def _address_length(packet: Any) -> int:
    return int(packet.address_length)


class Heartbeat(Packet):
    name = "ESXi heartbeat"
    fields_desc = fields(
        XLEIntField("magic", 0xA4),  # of which the first byte alone is known
        LEIntField("build_number", 0),
        LEIntField("server_id", 0),
        FieldLenField("host_key_length", None, fmt="B", length_of="host_key"),
        StrLenField("host_key", b"", length_from=_key_length),
        LESignedIntField("change_generation", 0),
        LESignedIntField("spec_generation", 0),
        LESignedIntField("bundle_version", 0),
        LEIntField("counter", 0),
        FieldLenField("address_length", None, fmt="B", length_of="address"),
        StrLenField("address", b"", length_from=_address_length),
        StrField("signature", b""),
    )


bind_layers(UDP, Heartbeat, dport=902)
