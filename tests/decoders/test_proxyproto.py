"""PROXY protocol headers, both versions: addresses, commands, TLVs, and everything that is none."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoders.message import DecodeError
from decoders.proxyproto import ProxyHeader, crc32c, parse

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def _v2(family: int, addresses: bytes, tlvs: bytes = b"", command: int = 0x21) -> bytes:
    rest = addresses + tlvs
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


def _ends(client: str, server: str, client_port: int, server_port: int) -> bytes:
    ports = struct.pack("!HH", client_port, server_port)
    return ip_address(client).packed + ip_address(server).packed + ports


def _tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


V4 = _ends("10.1.1.11", "10.2.2.2", 54488, 443)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            b"PROXY TCP4 10.1.1.11 10.2.2.2 54488 443\r\n",
            ProxyHeader(1, "PROXY", "tcp", "10.1.1.11", 54488, "10.2.2.2", 443),
        ),
        (
            b"PROXY TCP6 2001:DB8::1 ::1 1 65535\r\n",
            ProxyHeader(1, "PROXY", "tcp", "2001:db8::1", 1, "::1", 65535),
        ),
        (b"PROXY UNKNOWN\r\n", ProxyHeader(1, "UNKNOWN")),
        (b"PROXY UNKNOWN ffff::1 ::1 1 2\r\n", ProxyHeader(1, "UNKNOWN")),
    ],
)
def test_v1(line: bytes, expected: ProxyHeader) -> None:
    assert parse(line) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (_v2(0x11, V4), ProxyHeader(2, "PROXY", "tcp", "10.1.1.11", 54488, "10.2.2.2", 443)),
        (_v2(0x12, V4), ProxyHeader(2, "PROXY", "udp", "10.1.1.11", 54488, "10.2.2.2", 443)),
        (
            _v2(0x21, _ends("2001:db8::1", "::1", 1, 2)),
            ProxyHeader(2, "PROXY", "tcp", "2001:db8::1", 1, "::1", 2),
        ),
        (_v2(0x31, bytes(216)), ProxyHeader(2, "PROXY", "tcp")),
        (_v2(0x00, b""), ProxyHeader(2, "PROXY")),
        (_v2(0x11, V4, command=0x20), ProxyHeader(2, "LOCAL")),
        (_v2(0x00, b"", command=0x20), ProxyHeader(2, "LOCAL")),
    ],
)
def test_v2(header: bytes, expected: ProxyHeader) -> None:
    assert parse(header) == expected


def test_tlvs_by_name() -> None:
    ssl = struct.pack("!BI", 0b111, 0) + _tlv(0x21, b"TLSv1.3") + _tlv(0x22, b"bob@lab")
    tlvs = (
        _tlv(0x01, b"h2")
        + _tlv(0x02, b"vc.lab")
        + _tlv(0x04, bytes(9))
        + _tlv(0x05, b"\x01\xfe")
        + _tlv(0x20, ssl)
        + _tlv(0x30, b"mgmt")
        + _tlv(0xE0, b"custom")
    )
    header = parse(_v2(0x11, V4, tlvs))
    assert header.certificate_name == "bob@lab"
    assert header.tlvs == {
        "alpn": "h2",
        "authority": "vc.lab",
        "unique_id": "01fe",
        "ssl": "verified",
        "ssl_version": "TLSv1.3",
        "ssl_cn": "bob@lab",
        "netns": "mgmt",
    }


@pytest.mark.parametrize(
    ("client", "verify", "expected"),
    [
        (0b001, 1, {"ssl": ""}),  # TLS without a client certificate
        (0b011, 1, {"ssl": "unverified"}),
        (0b101, 0, {"ssl": "verified"}),  # shown earlier in this TLS session
        (0b000, 0, {}),
    ],
)
def test_ssl_tlv(client: int, verify: int, expected: dict[str, str]) -> None:
    tlv = _tlv(0x20, struct.pack("!BI", client, verify))
    assert parse(_v2(0x11, V4, tlv)).tlvs == expected
    tlv = _tlv(0x20, struct.pack("!BI", client, verify) + _tlv(0x22, b"bob\x07"))
    verified = expected.get("ssl") == "verified"
    assert parse(_v2(0x11, V4, tlv)).certificate_name == ("bob" if verified else "")


# HAProxy 2.6, proxy-v2-options crc32c,ssl,cert-cn,authority,unique-id and others.
OF_HAPROXY = bytes.fromhex(
    "0d0a0d0a000d0a515549540a211100947f0000017f0000019868480b03000463aaead0010002683202000676"
    "632e6c616205002464646263393035622d613936352d346463652d616138302d643863323136663661343966"
    "2000490700000000210007544c5376312e33220007626f62406c61622500075253413230343824000a525341"
    "2d534841323536230016544c535f4145535f3235365f47434d5f534841333834"
)


def test_a_header_of_haproxy() -> None:
    header = parse(OF_HAPROXY)
    assert (header.client_address, header.server_port) == ("127.0.0.1", 18443)
    assert (header.tlvs["alpn"], header.tlvs["authority"]) == ("h2", "vc.lab")
    assert header.certificate_name == "bob@lab"
    damaged = OF_HAPROXY.replace(b"bob@lab", b"eve@lab")
    with pytest.raises(DecodeError, match="checksum"):
        parse(damaged)


def summed(header: bytes, at: int) -> bytes:
    """With the checksum put in where four zeroes stand for it."""
    return header[:at] + struct.pack("!I", crc32c(header)) + header[at + 4 :]


def test_a_checksum_holds_for_the_whole_header() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    bare = _v2(0x11, V4, _tlv(0x02, b"vc.lab") + _tlv(0x03, bytes(4)) + _tlv(0x01, b"h2"))
    header = summed(bare, bare.index(_tlv(0x03, bytes(4))) + 3)
    assert parse(header).tlvs == {"authority": "vc.lab", "alpn": "h2"}
    ports_at, name_at = header.index(V4) + 8, header.index(b"vc.lab")
    for at in (ports_at, name_at, header.index(b"\x03\0\x04") + 3):
        wrong = header[:at] + bytes([header[at] ^ 1]) + header[at + 1 :]
        with pytest.raises(DecodeError, match="checksum"):
            parse(wrong)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"PROXY ",
        b"PROXY TCP4 10.1.1.11 10.2.2.2 54488 443",
        b"PROXY TCP4 10.1.1.11 10.2.2.2 54488\r\n",
        b"PROXY TCP4 10.1.1.11 10.2.2.2 54488 443 1\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP4 10.1.1 10.2.2.2 1 2\r\n",
        b"PROXY TCP4 10.1.1.11 10.2.2.2 1 65536\r\n",
        b"PROXY TCP4 10.1.1.11 10.2.2.2 -1 2\r\n",
        b"PROXY TCP4 10.1.1.11 10.2.2.2 1 \xb2\r\n",
        b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
        SIGNATURE,
        _v2(0x11, V4)[:-1],
        _v2(0x11, V4) + b"x",
        _v2(0x11, V4) + _tlv(0x01, b"h2"),
        _v2(0x11, V4[:-1]),
        _v2(0x11, V4, command=0x31),
        _v2(0x11, V4, command=0x22),
        _v2(0x11, V4, b"\x01"),
        _v2(0x11, V4, b"\x01\x00\x05abc"),
        _v2(0x11, V4, _tlv(0x03, bytes(3))),
        _v2(0x11, V4, _tlv(0x20, b"\x01")),
        _v2(0x11, V4, _tlv(0x20, bytes([1, 0, 0, 0, 0, 0x21, 0]))),
    ],
)
def test_no_header(header: bytes) -> None:
    with pytest.raises(DecodeError):
        parse(header)


@given(
    st.sampled_from([b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11", b""]),
    st.binary(),
)
def test_anything_is_a_header_or_a_decode_error(start: bytes, rest: bytes) -> None:
    try:
        header = parse(start + rest)
    except DecodeError:
        return
    assert header.version in (1, 2)
    assert header.command in ("PROXY", "LOCAL", "UNKNOWN")
