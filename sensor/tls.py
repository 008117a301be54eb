"""What the core sees of a flow's TLS, and the part of it that records show."""

from enum import IntEnum
from typing import NamedTuple

from sensor.records import Tls


class TlsSeen(NamedTuple):
    """Fields in the order of sensor/_core.pyi TlsTuple; numbers are those of sensor/core/tls.h."""

    session: int
    version: int  # 0: no ServerHello was seen
    cipher: int
    cipher_name: str
    visibility: int
    trouble: int
    key_source: int
    resumed: bool
    early_data: bool
    sni: str
    alpn: str
    alpn_offered: str
    ja3: str
    ja3s: str
    ja4: str
    ja4s: str
    subject: str
    issuer: str
    fingerprint: str
    client_subject: str
    client_issuer: str
    client_fingerprint: str
    random_hash: str

    @property
    def is_decrypted(self) -> bool:
        return self.visibility == TlsVisibility.DECRYPTED

    @property
    def identity(self) -> str:
        """The same on every flow that carries this session; "" while its hellos were not seen."""
        return self.random_hash if self.version and self.random_hash.strip("0") else ""


class TlsVisibility(IntEnum):
    METADATA = 0
    DECRYPTED = 1


class TlsTrouble(IntEnum):
    NONE = 0
    NO_KEY = 1
    LATE_KEY = 2
    UNSUPPORTED = 3
    FAILED = 4
    UNSEEN = 5


_VERSIONS = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
_KEY_SOURCES = ("", "keylog", "dsb", "rsa", "ticket", "tap")


def tls_of(seen: TlsSeen) -> Tls:
    """As records show it; a cipher that the registry does not name is shown by its number."""
    cipher = seen.cipher_name or (f"0x{seen.cipher:04x}" if seen.version else "")
    trouble = TlsTrouble(seen.trouble)
    return Tls(
        version=_VERSIONS.get(seen.version, f"0x{seen.version:04x}" if seen.version else ""),
        cipher=cipher,
        sni=seen.sni,
        alpn=seen.alpn,
        ja3=seen.ja3,
        ja3s=seen.ja3s,
        ja4=seen.ja4,
        ja4s=seen.ja4s,
        resumed=seen.resumed,
        early_data=seen.early_data,
        subject=seen.subject,
        issuer=seen.issuer,
        fingerprint=seen.fingerprint,
        client_subject=seen.client_subject,
        client_issuer=seen.client_issuer,
        client_fingerprint=seen.client_fingerprint,
        key_source=_KEY_SOURCES[seen.key_source],
        reason=trouble.name.lower() if trouble else "",
    )
