"""The PROXY protocol header, versions 1 and 2: who stands behind the proxy, and what TLS said
before it ended there.

https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt; section numbers below are of that text.
"""

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from decoders.http import printable
from decoders.message import DecodeError

V1_BYTES_MAX = 107  # section 2.1
_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED_BYTES = 16
_COMMANDS = {0: "LOCAL", 1: "PROXY"}
_ADDRESS_BYTES = {0: 0, 1: 12, 2: 36, 3: 216}  # by family: unspecified, IPv4, IPv6, unix
_TRANSPORTS = {0: "", 1: "tcp", 2: "udp"}
_SSL = 0x20
_CRC32C, _CRC32C_BYTES = 0x03, 4
_CRC32C_POLYNOMIAL = 0x82F63B78  # of RFC 3720 appendix B.4, bits reversed
# Section 2.2; text unless in _BINARY. Padding (4) says nothing of the client.
_TLVS = {
    0x01: "alpn",
    0x02: "authority",
    0x05: "unique_id",
    0x21: "ssl_version",
    0x22: "ssl_cn",
    0x23: "ssl_cipher",
    0x24: "ssl_signature_algorithm",
    0x25: "ssl_key_algorithm",
    0x30: "netns",
}
_BINARY = (0x05,)
_CLIENT_SSL, _CLIENT_CERT_CONN, _CLIENT_CERT_SESS = 1, 2, 4


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """Addresses are "" where the proxy says nothing of the client: LOCAL, UNKNOWN, unix sockets."""

    version: int
    command: str  # PROXY, LOCAL, UNKNOWN
    transport: str = ""  # tcp, udp
    client_address: str = ""
    client_port: int = 0
    server_address: str = ""
    server_port: int = 0
    # By name. ssl: what became of the client's certificate: "verified", "unverified"; "" for none.
    tlvs: dict[str, str] = field(default_factory=dict)

    @property
    def certificate_name(self) -> str:
        """Of the client's certificate, if he showed one and the proxy verified it."""
        return printable(self.tlvs.get("ssl_cn", "")) if self.tlvs.get("ssl") == "verified" else ""


def parse(header: bytes) -> ProxyHeader:
    """A whole header and nothing after it. Raises DecodeError when it is none."""
    if header.startswith(_V2_SIGNATURE):
        return _parse_v2(header)
    if header.startswith(b"PROXY "):
        return _parse_v1(header)
    raise DecodeError("no PROXY protocol header")


def _parse_v1(header: bytes) -> ProxyHeader:
    if len(header) > V1_BYTES_MAX or not header.endswith(b"\r\n"):
        raise DecodeError("PROXY v1 header without its end")
    try:
        words = header[:-2].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise DecodeError("PROXY v1 header is not ASCII") from None
    if words[1] == "UNKNOWN":  # the rest of the line is to be ignored
        return ProxyHeader(1, "UNKNOWN")
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise DecodeError("PROXY v1 header with other than six words")
    version = 4 if words[1] == "TCP4" else 6
    client, server = (_address(word, version) for word in words[2:4])
    client_port, server_port = (_port(word) for word in words[4:6])
    return ProxyHeader(1, "PROXY", "tcp", client, client_port, server, server_port)


def _address(word: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(word)
    except ValueError:
        raise DecodeError("PROXY v1 header without an address") from None
    if address.version != version:
        raise DecodeError("PROXY v1 header with an address of another family")
    return str(address)


def _port(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 5 and int(word) <= 0xFFFF):
        raise DecodeError("PROXY v1 header without a port")
    return int(word)


def _parse_v2(header: bytes) -> ProxyHeader:
    if len(header) < _V2_FIXED_BYTES:
        raise DecodeError("PROXY v2 header cut short")
    version_command, family_transport, length = struct.unpack_from("!BBH", header, 12)
    command = _COMMANDS.get(version_command & 15)
    if version_command >> 4 != 2 or command is None:
        raise DecodeError("PROXY header of an unknown version or command")
    rest = header[_V2_FIXED_BYTES:]
    if len(rest) != length:
        raise DecodeError("PROXY v2 header of another length than it says")
    family, transport = family_transport >> 4, _TRANSPORTS.get(family_transport & 15, "")
    address_bytes = _ADDRESS_BYTES.get(family, len(rest))
    if address_bytes > len(rest):
        raise DecodeError("PROXY v2 header shorter than its addresses")
    tlvs = dict(_read_tlvs(rest[address_bytes:]))
    _check_crc32c(header, _V2_FIXED_BYTES + address_bytes)
    if command == "LOCAL" or family not in (1, 2):
        return ProxyHeader(2, command, transport if command == "PROXY" else "", tlvs=tlvs)
    half = (address_bytes - 4) // 2
    client, server = (str(ipaddress.ip_address(rest[at : at + half])) for at in (0, half))
    client_port, server_port = struct.unpack_from("!HH", rest, 2 * half)
    return ProxyHeader(2, command, transport, client, client_port, server, server_port, tlvs)


def _tlvs(data: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """(kind, where its value begins, where that ends) of each from `at` on"""
    while at < len(data):
        if len(data) - at < 3:
            raise DecodeError("PROXY v2 header with a cut TLV")
        kind, length = struct.unpack_from("!BH", data, at)
        at += 3
        if len(data) - at < length:
            raise DecodeError("PROXY v2 header with a cut TLV")
        yield kind, at, at + length
        at += length


def _check_crc32c(header: bytes, tlvs_at: int) -> None:
    """Section 2.2.3: of the whole header, with zeroes where the checksum stands."""
    for kind, start, end in _tlvs(header, tlvs_at):
        if kind != _CRC32C:
            continue
        if end - start != _CRC32C_BYTES:
            raise DecodeError("PROXY v2 header with a checksum of another length")
        if crc32c(header[:start] + bytes(_CRC32C_BYTES) + header[end:]) != int.from_bytes(
            header[start:end], "big"
        ):
            raise DecodeError("PROXY v2 header with a wrong checksum")


def crc32c(data: bytes) -> int:
    """Castagnoli's; headers are short, and few have one."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (_CRC32C_POLYNOMIAL if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF


def _read_tlvs(data: bytes) -> Iterator[tuple[str, str]]:
    for kind, start, end in _tlvs(data, 0):
        value = data[start:end]
        if kind == _SSL:
            yield from _read_ssl(value)
        elif kind in _TLVS:
            text = value.hex() if kind in _BINARY else value.decode("utf-8", "replace")
            yield _TLVS[kind], text


def _read_ssl(value: bytes) -> Iterator[tuple[str, str]]:
    """Section 2.2.5: u8 client, u32 verify (0: the certificate shown was verified), then TLVs."""
    if len(value) < 5:
        raise DecodeError("PROXY v2 header with a cut SSL TLV")
    client, verify = struct.unpack_from("!BI", value)
    shown = client & (_CLIENT_CERT_CONN | _CLIENT_CERT_SESS)
    if client & _CLIENT_SSL:
        yield "ssl", ("unverified" if verify else "verified") if shown else ""
        yield from _read_tlvs(value[5:])
