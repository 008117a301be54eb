"""Which secrets a capture holds, and whether one shows in some output, in whatever encoding."""

import base64
import re
import subprocess
from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

from decoders.message import Transaction
from tests.reference import transactions

# Shorter ones would be found by chance.
SECRET_CHARS_MIN = 6

_COOKIE_HEADERS = {"cookie", "set-cookie"}
_COOKIE_ATTRIBUTES = {"path", "domain", "expires", "max-age", "samesite", "version"}
_CREDENTIAL_HEADERS = {"authorization", "proxy-authorization"}
_TOKEN_HEADERS = {
    "x-vcloud-authorization", "x-vmware-vcloud-access-token", "vmware-api-session-id",
    "x-auth-token", "x-subject-token", "vcsessioncookie",
}  # fmt: skip
# elements and members that hold a secret in vim25, WS-Trust, SAML, vCloud and the REST APIs
_SECRET_NAMES = (
    r"\w*password|passwd|ticket|cloneTicket|sessionTicket|token|base64Token|sspiToken|serverChallenge|"
    r"SignatureValue|DigestValue|X509Certificate|BinarySecurityToken|sessionID|sessionId|vcSessionCookie|"
    r"access_token|refresh_token|id_token|session_id"
)
_ELEMENT = re.compile(rf"<(?:[\w.-]+:)?({_SECRET_NAMES})(?:\s[^>]*)?>([^<]+)<", re.IGNORECASE)
_MEMBER = re.compile(rf'"({_SECRET_NAMES})"\s*:\s*"([^"]+)"', re.IGNORECASE)
_FORM = re.compile(rf"(?:^|[&?])({_SECRET_NAMES})=([^&\s]+)", re.IGNORECASE)
_ASSERTION = re.compile(r"<(?:[\w.-]+:)?Assertion\s.*?</(?:[\w.-]+:)?Assertion>", re.DOTALL)
# answers whose very value is the secret
_RETURNED = {
    "AcquireCloneTicket": r"<returnval[^>]*>([^<]+)<",
    "AcquireGenericServiceTicket": r"<id>([^<]+)<",
    "CloneSession": r"<key>([^<]+)<",
    "ImpersonateUser": r"<key>([^<]+)<",
    "Login": r"<key>([^<]+)<",
    "LoginBySSPI": r"<key>([^<]+)<",
    "LoginByToken": r"<key>([^<]+)<",
    "LoginExtensionByCertificate": r"<key>([^<]+)<",
    "LoginExtensionBySubjectName": r"<key>([^<]+)<",
}
# TCP 902. A password of letters alone, as guessed ones are, is a word that outputs have anyway.
_DAEMON = re.compile(r"^(PASS|SESSION|USER) (\S*[\d!]\S*)\r?$", re.MULTILINE)
_OF_HTTP2 = {"cookie": "http2.headers.cookie", "set-cookie": "http2.headers.set_cookie"}
_SESSION_PATHS = ("/api/session", "/rest/com/vmware/cis/session")


def secrets_of(capture: Path) -> dict[str, str]:
    """Every secret of the capture's HTTP traffic: value -> what it is."""
    found: dict[str, str] = {}
    for _, transaction in transactions(str(capture)):
        for what, value in _of_transaction(transaction):
            if len(value) >= SECRET_CHARS_MIN:
                found.setdefault(value, what)
    return found


def secrets_under_tls(capture: Path, tls_option: str) -> dict[str, str]:
    """The same of HTTP and of the daemon on TCP 902 inside TLS, as tshark decrypts it with this
    preference."""
    tshark = ["tshark", "-n", "-r", str(capture), "-o", tls_option]
    streams = _said([*tshark, "-Y", "tls", "-T", "fields", "-e", "tcp.stream"]).split()
    follow = [f"-zfollow,tls,raw,{each}" for each in sorted(set(streams))]
    found: dict[str, str] = {}
    for side in _sides(_said([*tshark, "-q", *follow])):
        for what, value in (*_of_side(side), *_DAEMON.findall(side)):
            if len(value) >= SECRET_CHARS_MIN:
                found.setdefault(value, what)
    for header, field in _OF_HTTP2.items():
        for line in _said([*tshark, "-Y", field, "-T", "fields", "-e", field]).splitlines():
            for what, value in _of_cookie(header, line):
                if len(value) >= SECRET_CHARS_MIN:
                    found.setdefault(value, what)
    return found


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def _sides(followed: str) -> Iterator[str]:
    """What each side of each stream said: lines in hex, the server's with a tab before them."""
    for stream in followed.split("Follow: tls,raw")[1:]:
        lines = [line for line in stream.splitlines() if re.fullmatch(r"\t?[0-9a-f]+", line)]
        for server in (False, True):
            said = "".join(line.strip() for line in lines if line.startswith("\t") is server)
            yield bytes.fromhex(said).decode("utf-8", "replace")


def _of_side(text: str) -> Iterator[tuple[str, str]]:
    yield from _of_head(text.encode("latin-1", "replace"))  # of a body only lines like headers
    yield from _of_text(text)
    for operation, pattern in _RETURNED.items():
        answer = rf"<(?:[\w.-]+:)?{operation}Response[\s>].*?</(?:[\w.-]+:)?{operation}Response>"
        for body in re.findall(answer, text, re.DOTALL):
            for value in re.findall(pattern, body):
                yield f"returned by {operation}", value


def key_material(secrets: bytes) -> dict[bytes, str]:
    """What must stay secret of a key log, or of a private key in PEM: value -> what it is."""
    text, found = secrets.decode(), dict[bytes, str]()
    for label, value in re.findall(r"^(\w+) [0-9a-f]+ ([0-9a-f]{64,})$", text, re.MULTILINE):
        found[bytes.fromhex(value)] = label
    pem = re.search(r"PRIVATE KEY-----(.*?)-----END", text, re.DOTALL)
    if pem:
        der = base64.b64decode(pem[1])
        found[der] = "private key"
        found |= dict.fromkeys(_private_numbers(der), "number of the private key")
    return found


def _private_numbers(der: bytes) -> Iterator[bytes]:
    """Its long INTEGERs (RFC 8017 appendix A.1.2) but for the first, the public modulus."""
    numbers = [
        der[at + header : at + header + size].lstrip(b"\0")
        for at, header, size in _integers(der)
        if size > 32
    ]
    yield from numbers[1:]


def _integers(der: bytes) -> Iterator[tuple[int, int, int]]:
    """(offset, header bytes, content bytes) of each INTEGER; PKCS #8 wraps all in OCTET STRING."""
    at = 0
    while at < len(der):
        kind, size, header = der[at], der[at + 1], 2
        if size > 0x80:
            header += size & 0x7F
            size = int.from_bytes(der[at + 2 : at + header])
        if kind == 0x02:
            yield at, header, size
        constructed = kind == 0x30 or (kind == 0x04 and der[at + header] == 0x30)
        at += header + (0 if constructed else size)


def _of_transaction(transaction: Transaction) -> Iterator[tuple[str, str]]:
    yield from _of_head(transaction.request_head)
    yield from _of_head(transaction.response_head)
    for body in (transaction.request_body, transaction.response_body):
        yield from _of_text(body.decode("utf-8", "replace"))
    yield from _of_text(transaction.target)
    answer = transaction.response_body.decode("utf-8", "replace")
    if transaction.operation in _RETURNED:
        for value in re.findall(_RETURNED[transaction.operation], answer):
            yield f"returned by {transaction.operation}", value
    if transaction.target in _SESSION_PATHS and transaction.method == "POST":
        for value in re.findall(r'"([^"]{20,})"', answer):
            yield "REST session", value


def _of_head(head: bytes) -> Iterator[tuple[str, str]]:
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name in _COOKIE_HEADERS:
            yield from _of_cookie(name, value)
        elif name in _CREDENTIAL_HEADERS:
            scheme, _, credentials = value.partition(" ")
            yield f"{name} {scheme}", credentials
            if scheme.lower() == "basic":
                yield "Basic password", _basic_password(credentials)
        elif name in _TOKEN_HEADERS:
            yield name, value


def _of_cookie(header: str, text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(";"):
        name, _, value = part.strip().partition("=")
        if name.lower() not in _COOKIE_ATTRIBUTES:
            yield f"{header} {name}", value.strip('"')


def _basic_password(credentials: str) -> str:
    decoded = base64.b64decode(credentials).decode("utf-8", "replace")
    return decoded.partition(":")[2]


def _of_text(text: str) -> Iterator[tuple[str, str]]:
    for pattern in (_ELEMENT, _MEMBER, _FORM):
        for name, value in pattern.findall(text):
            yield name, value.strip()
    for assertion in _ASSERTION.findall(text):
        yield "SAML assertion", assertion


def encodings(secret: str) -> dict[str, bytes]:
    """The secret as it could appear in some output: what to search for, by the encoding's name."""
    return encodings_of_bytes(secret.encode()) | {
        "URL": quote(secret, safe="").encode(),
        "XML": escape(secret).encode(),
        "JSON": secret.replace("\\", "\\\\").replace('"', '\\"').encode(),
    }


def encodings_of_bytes(raw: bytes) -> dict[str, bytes]:
    forms = {"clear": raw, "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode()}
    for shift in range(3):
        # the characters of the base64 text that depend on nothing but the secret
        first, last = -(-shift * 8 // 6), (shift + len(raw)) * 8 // 6
        text = base64.b64encode(bytes(shift) + raw)[first:last]
        forms[f"base64+{shift}"] = text
        forms[f"base64url+{shift}"] = text.translate(bytes.maketrans(b"+/", b"-_"))
    return forms


def leaks(content: bytes, secrets: dict[str, str]) -> list[str]:
    """One line per secret that `content` holds; it names the secret's kind, not the secret."""
    return [
        f"{what} ({len(secret)} characters), {encoding}"
        for secret, what in secrets.items()
        for encoding, form in encodings(secret).items()
        if form in content
    ]


def key_leaks(content: bytes, material: dict[bytes, str]) -> list[str]:
    """The same of key material; a third of a secret is one too many."""
    return [
        f"{what} ({len(secret)} bytes), {encoding}"
        for secret, what in material.items()
        for part in _thirds(secret)
        for encoding, form in encodings_of_bytes(part).items()
        if form in content
    ]


def _thirds(secret: bytes) -> Iterator[bytes]:
    size = len(secret) // 3
    return (secret[at : at + size] for at in range(0, 3 * size, size))
