"""Who logs in to libvirt by SASL, as far as the mechanisms show it; passwords stay here."""

import re

from decoders.http import printable
from decoders.message import LoginMethod

# DIGEST-MD5, RFC 2831 section 2.1.2
_DIGEST_USER = re.compile(r'(?:^|,)\s*username="((?:[^"\\]|\\.)*)"')
# tkt-vno 5, then the realm of a Kerberos ticket (RFC 4120 section 5.3), one byte for its length
_TICKET = re.compile(rb"\xa0\x03\x02\x01\x05\xa1.\x1b([\x01-\x7d])", re.DOTALL)


def user_of(mechanism: str, data: bytes) -> str:
    """The account that a first response names; "" where the mechanism does not say it here."""
    name = mechanism.upper()
    if name == "PLAIN":  # RFC 4616: authzid NUL authcid NUL password
        parts = data.split(b"\0")
        return printable(parts[1].decode("utf-8", "replace")) if len(parts) == 3 else ""
    text = data.decode("utf-8", "replace")
    if name.startswith("SCRAM-"):  # RFC 5802 section 7: n,,n=user,r=nonce
        stated = next((part[2:] for part in text.split(",")[2:] if part.startswith("n=")), "")
        return printable(stated.replace("=2C", ",").replace("=3D", "="))
    if name == "DIGEST-MD5" and (found := _DIGEST_USER.search(text)):
        return printable(re.sub(r"\\(.)", r"\1", found[1]))
    if name == "EXTERNAL":
        return printable(text)
    return ""


def realm_of(mechanism: str, data: bytes) -> str:
    """Of the service's ticket, which is all that Kerberos shows."""
    if mechanism.upper() not in ("GSSAPI", "GSS-SPNEGO"):
        return ""
    found = _TICKET.search(data)
    text = data[found.end() : found.end() + found[1][0]] if found else b""
    return printable(text.decode("latin-1"))


def method_of(mechanism: str) -> LoginMethod:
    name = mechanism.upper()
    if name in ("GSSAPI", "GSS-SPNEGO"):
        return LoginMethod.SSPI
    return LoginMethod.CERTIFICATE if name == "EXTERNAL" else LoginMethod.PASSWORD
