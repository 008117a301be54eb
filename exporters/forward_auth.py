"""The handshake of Fluent Forward v1: HELO, PING, PONG, each side proving that it knows the key.

https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1#handshake-messages
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from exporters.payload import one_line

SALT_BYTES = 16


class AuthError(Exception):
    """Why the two do not trust each other, in words."""


@dataclass(frozen=True, slots=True)
class Credentials:
    hostname: str  # ours: the server mixes it into its digests
    shared_key: str = ""
    username: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Ping:
    message: list[str]
    salt: str
    nonce: bytes


def ping(helo: Any, credentials: Credentials) -> Ping:
    """Our answer to HELO. Raises AuthError."""
    if not _is(helo, b"HELO", 2) or not isinstance(helo[1], dict):
        raise AuthError("the receiver greets with something else than HELO: no shared key there?")
    options = {_bytes(name): value for name, value in helo[1].items()}
    nonce = _bytes(options.get(b"nonce", b""))
    user_salt = _bytes(options.get(b"auth", b""))
    # Fluent Bit insists on str; random bytes would be none, so the salt is hex.
    salt = secrets.token_hex(SALT_BYTES)
    key = _shared_key_digest(salt.encode(), credentials.hostname, nonce, credentials.shared_key)
    username, password_digest = "", ""
    if user_salt:  # Fluent Bit sends it without having users, and wants a digest all the same
        username = credentials.username
        parts = (user_salt, username.encode(), credentials.password.encode())
        password_digest = hashlib.sha512(b"".join(parts)).hexdigest()
    message = ["PING", credentials.hostname, salt, key, username, password_digest]
    return Ping(message, salt, nonce)


def check_pong(pong: Any, sent: Ping, shared_key: str) -> str:
    """The server's host name. Raises AuthError, also when the server does not know the key."""
    if not _is(pong, b"PONG", 5):
        raise AuthError("the receiver answers PING with something else than PONG")
    _, accepted, reason, hostname, digest = pong
    if accepted is not True:
        said = one_line(_bytes(reason).decode("utf-8", "replace")) or "no reason given"
        raise AuthError(f"the receiver refused the shared key, user name or password: {said}")
    server = _bytes(hostname).decode("utf-8", "surrogateescape")
    proof = _shared_key_digest(sent.salt.encode(), server, sent.nonce, shared_key)
    if not hmac.compare_digest(proof.encode(), _bytes(digest)):
        raise AuthError("the receiver does not prove that it knows the shared key")
    return server


def _shared_key_digest(salt: bytes, hostname: str, nonce: bytes, shared_key: str) -> str:
    parts = (salt, hostname.encode("utf-8", "surrogateescape"), nonce, shared_key.encode())
    return hashlib.sha512(b"".join(parts)).hexdigest()


def _is(message: Any, name: bytes, length: int) -> bool:
    return isinstance(message, list) and len(message) >= length and _bytes(message[0]) == name


def _bytes(value: Any) -> bytes:
    """str and bin alike: Fluent Bit sends random bytes as str."""
    return value if isinstance(value, bytes) else b""
