"""Which secrets a capture holds, and whether one shows in some output, in whatever encoding."""

import base64
import re
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
_SESSION_PATHS = ("/api/session", "/rest/com/vmware/cis/session")


def secrets_of(capture: Path) -> dict[str, str]:
    """Every secret of the capture's HTTP traffic: value -> what it is."""
    found: dict[str, str] = {}
    for _, transaction in transactions(str(capture)):
        for what, value in _of_transaction(transaction):
            if len(value) >= SECRET_CHARS_MIN:
                found.setdefault(value, what)
    return found


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
    raw = secret.encode()
    forms = {
        "clear": raw,
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "URL": quote(secret, safe="").encode(),
        "XML": escape(secret).encode(),
        "JSON": secret.replace("\\", "\\\\").replace('"', '\\"').encode(),
    }
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
