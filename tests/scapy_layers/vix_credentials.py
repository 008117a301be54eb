"""The credential region of VIX requests.

`obfuscated` and `clear_of` are the coding of names and passwords, which is no encryption.
"""

import base64
from typing import Any

from scapy.fields import LEIntField, StrField
from scapy.packet import Packet

from tests.scapy_layers.fields import Part, fields, lengths_of, texts

_ESCAPES = {"\\": "1", "'": "2", '"': "3", " ": "4", "\r": "5", "\n": "6", "\t": "7"}


def obfuscated(first: bytes, second: bytes) -> bytes:
    coded = base64.b64encode(first + b"\0" + second + b"\0").decode()
    return "".join(f"\\{_ESCAPES[each]}" if each in _ESCAPES else each for each in coded).encode()


def clear_of(coded: bytes) -> tuple[bytes, bytes]:
    """Both strings; raises ValueError where the text is not so coded."""
    text, plain = coded.decode("latin-1"), {digit: each for each, digit in _ESCAPES.items()}
    for digit, each in plain.items():
        text = text.replace(f"\\{digit}", each)
    first, nul, rest = base64.b64decode(text, validate=True).partition(b"\0")
    if not nul:
        raise ValueError("no end of the first string")
    return first, rest.partition(b"\0")[0]


class VixNamePassword(Part):
    """Types 1, 4 and 8, and 6 and 7."""

    name = "VIX name and password"
    fields_desc = fields(
        LEIntField("name_length", 0), LEIntField("password_length", 0), StrField("coded", b"")
    )

    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *args: Any, **kargs: Any) -> Any:
        """Lengths below 64 KiB have zeros where coded text has none."""
        is_bare = _pkt is not None and len(_pkt) > 4 and _pkt[2:4] != b"\0\0"
        return VixBareNamePassword if is_bare else cls

    @property
    def user(self) -> bytes:
        return clear_of(self.coded.partition(b"\0")[0])[0]


class VixBareNamePassword(Part):
    """As a client library writes it: without the lengths."""

    name = "VIX name and password, bare"
    fields_desc = fields(StrField("coded", b""))

    @property
    def user(self) -> bytes:
        return clear_of(self.coded.partition(b"\0")[0])[0]


class VixTicket(Part):
    name = "VIX ticketed session"
    fields_desc = fields(*lengths_of("ticket"), *texts("ticket"))


class VixSspi(Part):
    name = "VIX SSPI token"
    fields_desc = fields(*lengths_of("token"), *texts("token"))


class VixSaml(Part):
    name = "VIX SAML token"
    fields_desc = fields(
        LEIntField("token_length", 0), LEIntField("name_length", 0), StrField("coded", b"")
    )

    @property
    def token(self) -> bytes:
        return clear_of(self.coded.partition(b"\0")[0])[0]

    @property
    def user(self) -> bytes:
        return clear_of(self.coded.partition(b"\0")[0])[1]


def name_password(name: bytes, password: bytes) -> VixNamePassword:
    return VixNamePassword(
        name_length=len(name),
        password_length=len(password),
        coded=obfuscated(name, password) + b"\0",
    )


def bare_name_password(name: bytes, password: bytes) -> VixBareNamePassword:
    return VixBareNamePassword(coded=obfuscated(name, password) + b"\0")


def saml(token: bytes, name: bytes = b"") -> VixSaml:
    return VixSaml(
        token_length=len(token), name_length=len(name), coded=obfuscated(token, name) + b"\0"
    )


CREDENTIALS: dict[int, type[Packet]] = {
    **dict.fromkeys((1, 4, 6, 7, 8), VixNamePassword),
    9: VixTicket,
    10: VixSspi,
    11: VixSaml,
    12: VixSaml,
}
