"""A time stamp authority (RFC 3161): asks it to vouch that a hash existed by now."""

import os
import urllib.error
import urllib.request
from collections.abc import Callable

TIMEOUT_S = 5.0
RESPONSE_BYTES_MAX = 1 << 18  # with the certificates of a long chain; commonly 5 KiB
NONCE_BYTES = 8
_GRANTED = (0, 1)  # granted, granted with modifications (RFC 3161 section 2.4.2)
_SHA256 = bytes.fromhex("300d06096086480165030402010500")  # AlgorithmIdentifier

Stamp = Callable[[str], bytes]  # hash in hex -> TimeStampResp; raises TimestampError


class TimestampError(Exception):
    """The authority did not answer, or with something else; one line."""


def query(digest: bytes, nonce: bytes) -> bytes:
    """TimeStampReq in DER: version 1, SHA-256, a nonce, the signer's certificate wanted."""
    imprint = _der(0x30, _SHA256 + _der(0x04, digest))
    return _der(0x30, b"\x02\x01\x01" + imprint + _der(0x02, nonce) + b"\x01\x01\xff")


class Authority:
    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._timeout_s = timeout_s

    def stamp(self, digest_hex: str) -> bytes:
        """The response, which grants; its signature is `verify`'s to check.

        Raises TimestampError.
        """
        digest = bytes.fromhex(digest_hex)
        nonce = b"\x01" + os.urandom(NONCE_BYTES - 1)  # positive, in the fewest bytes
        response = self._ask(query(digest, nonce))
        _check(response, digest, nonce, self._url)
        return response

    def _ask(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/timestamp-query"}
        request = urllib.request.Request(self._url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
                response: bytes = answer.read(RESPONSE_BYTES_MAX + 1)
        except urllib.error.HTTPError as error:
            raise TimestampError(f"{self._url}: HTTP status {error.code}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            text = getattr(reason, "strerror", None) or reason
            raise TimestampError(f"{self._url}: {text}") from None
        if len(response) > RESPONSE_BYTES_MAX:
            raise TimestampError(f"{self._url}: the answer is too long for a time stamp")
        return response


def _check(response: bytes, digest: bytes, nonce: bytes, url: str) -> None:
    status = _status(response)
    if status is None:
        raise TimestampError(f"{url}: the answer is no time stamp")
    if status not in _GRANTED:
        raise TimestampError(f"{url}: no time stamp granted, status {status}")
    if digest not in response or nonce not in response:
        raise TimestampError(f"{url}: a time stamp of something else")


def _status(response: bytes) -> int | None:
    """PKIStatus: the first integer of the first sequence of the response."""
    _, outer = _value(response, 0x30)
    _, info = _value(outer, 0x30)
    found, status = _value(info, 0x02)
    return int.from_bytes(status, "big") if found and len(status) == 1 else None


def _value(data: bytes, tag: int) -> tuple[bool, bytes]:
    """Whether `data` begins with this tag, and its contents, or what of them is there."""
    if len(data) < 2 or data[0] != tag:
        return False, b""
    length, at = data[1], 2
    if length & 0x80:
        at += length & 0x7F
        length = int.from_bytes(data[2:at], "big")
    return True, data[at : at + length]


def _der(tag: int, contents: bytes) -> bytes:
    """Of contents shorter than 128 bytes."""
    return bytes([tag, len(contents)]) + contents
