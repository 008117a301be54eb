"""The account that an NTLM AUTHENTICATE message names ([MS-NLMP] 2.2.1.3), alone or inside SPNEGO.

Only the domain and user fields are read; the responses, which can be cracked, are not, also where
a field says that the name lies there.
"""

import base64
import binascii
import struct

_SIGNATURE = b"NTLMSSP\0\x03\0\0\0"
_RESPONSES_AT = (12, 20)  # LmChallengeResponse, NtChallengeResponse
_DOMAIN_AT, _USER_AT, _FLAGS_AT = 28, 36, 60
_UNICODE = 1


def user_of(token: str) -> str:
    r"""`DOMAIN\user` of a base64 security token; "" when it is no such message."""
    try:
        blob = base64.b64decode(token)
    except (binascii.Error, ValueError):
        return ""
    start = blob.find(_SIGNATURE)
    if start < 0 or len(blob) - start < _FLAGS_AT + 4:
        return ""
    message = blob[start:]
    (flags,) = struct.unpack_from("<I", message, _FLAGS_AT)
    encoding = "utf-16-le" if flags & _UNICODE else "latin-1"
    domain, user = (_text(message, at, encoding) for at in (_DOMAIN_AT, _USER_AT))
    return f"{domain}\\{user}" if domain and user else user


def _text(message: bytes, at: int, encoding: str) -> str:
    start, end = _span(message, at)
    if end > len(message):
        return ""
    for response_at in _RESPONSES_AT:
        response_start, response_end = _span(message, response_at)
        if response_end > len(message) or max(start, response_start) < min(end, response_end):
            return ""
    return message[start:end].decode(encoding, "replace")


def _span(message: bytes, at: int) -> tuple[int, int]:
    length, _, offset = struct.unpack_from("<HHI", message, at)
    return offset, offset + length
