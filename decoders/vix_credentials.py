"""The credential region of a VIX request: whose it is, and nothing that could be used again.

A name and a password are decoded four base64 characters at a time, up to the NUL that ends the
name. How a client writes the region on TCP 902 is not published; both forms of the sources are
read: with the lengths that the tools expect in front (vixTools.c), and without them, as
VixMsg_AllocRequestMsg writes it (foundryMsg.c).
"""

import base64
import binascii
from dataclasses import dataclass

from decoders import ntlm, xml
from decoders.message import DecodeError, Hasher
from decoders.saml import ASSERTION_BYTES_MAX, principal

NAME_BYTES_MAX = 512  # UNLEN of Windows is 256, a domain's name 255
_TYPES = (
    "none",
    "name_password",
    "anonymous",
    "root",
    "name_password_obfuscated",
    "console_user",
    "host_config_secret",
    "host_config_hashed_secret",
    "named_interactive_user",
    "ticketed_session",
    "sspi",
    "saml_bearer_token",
    "saml_bearer_token_host_verified",
)
_NAMED = frozenset((1, 4, 8))
_SECRET = frozenset((6, 7))
_TICKETED, _SSPI = 9, 10
_ASSERTED = frozenset((11, 12))
# What stands where a name would and is no person; all but the first are no longer supported.
_PSEUDO_USERS = {
    "__VMware_Vix_Shared_Secret_1__": "shared_secret",
    "__VMware_Vix_Guest_User_Admin__": "guest_user_admin",
    "__VMware_Vix_Guest_User_Anonymous__": "guest_user_anonymous",
    "__VMware_Vix_Guest_Console_User__": "guest_console_user",
}
_ESCAPED = str.maketrans({"1": "\\", "2": "'", "3": '"', "4": " ", "5": "\r", "6": "\n", "7": "\t"})


@dataclass(frozen=True, slots=True)
class Credential:
    type: str = "none"
    user: str = ""
    ticket: str = ""  # keyed hash
    subject: str = ""  # of an assertion that also names a user


def credential_of(number: int, region: bytes, blanked: bool, hasher: Hasher) -> Credential:
    """`blanked`: what followed the name was zeroed on the way here."""
    kind = _TYPES[number] if number < len(_TYPES) else f"type_{number}"
    if number in _NAMED | _SECRET:
        return _named(kind, _name_of(region, blanked), number in _SECRET)
    if number == _TICKETED:
        ticket = _string(_past_lengths(region, 4)).decode("latin-1")
        return Credential(kind, ticket=hasher(ticket) if ticket else "")
    if number == _SSPI:
        token = _string(_past_lengths(region, 4)).decode("latin-1")
        return Credential(kind, user=_printable(ntlm.user_of(token).encode("utf-8", "replace")))
    if number in _ASSERTED:
        return _asserted(kind, _past_lengths(region, 8))
    return Credential(kind)


def _named(kind: str, name: str, is_secret: bool) -> Credential:
    """A host's configuration secret has a pseudo user; what else stands there is no name."""
    if pseudo := _PSEUDO_USERS.get(name):
        return Credential(f"pseudo_{pseudo}")
    return Credential(kind, user="" if is_secret else name)


def _past_lengths(region: bytes, size: int) -> bytes:
    """A length below 64 KiB has two zeros where the coded text, which is printable, has none."""
    return region[size:] if region[2:4] == b"\0\0" else region


def _string(text: bytes) -> bytes:
    return text.partition(b"\0")[0]


def _name_of(region: bytes, blanked: bool) -> str:
    coded = _past_lengths(region, 8)
    return _name(_first_of_two(coded, blanked)) or _plain_name(region)


def _first_of_two(coded: bytes, blanked: bool) -> bytes:
    """What base64 holds before its first NUL; the rest stays coded, but for its last group.

    A second NUL must end it: a text that begins in the password, which has none, is no name.
    """
    name = bytearray()
    at = 0
    while len(name) <= NAME_BYTES_MAX:
        group, at = _group(coded, at)
        plain = _decoded(group)
        head, nul, tail = plain.partition(b"\0")
        name += head
        if not plain or nul:
            break
    else:
        return b""
    if blanked and not coded[at:].strip(b"\0"):
        return bytes(name)
    text = _string(coded)
    rest = tail if at == len(text) else _decoded(text[-4:].decode("latin-1"))
    return bytes(name) if nul and rest.endswith(b"\0") else b""


def _decoded(group: str) -> bytes:
    try:
        return base64.b64decode(group, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _group(coded: bytes, at: int) -> tuple[str, int]:
    """Up to four characters from `at`, without their backslash escapes, and where they end."""
    group = ""
    while len(group) < 4 and at < len(coded) and coded[at]:
        character = chr(coded[at])
        at += 1
        if character == "\\" and at < len(coded):
            character = chr(coded[at]).translate(_ESCAPED)
            at += 1
        group += character
    return group, at


def _plain_name(region: bytes) -> str:
    """Both strings uncoded after their lengths. Unverified: only if every length agrees."""
    if len(region) < 8:
        return ""
    name_bytes, password_bytes = (int.from_bytes(region[at : at + 4], "little") for at in (0, 4))
    name = _string(region[8:])
    if not name or len(name) != name_bytes:
        return ""
    if len(region) - 8 - name_bytes not in (password_bytes + 1, password_bytes + 2):
        return ""
    return _name(name)


def _name(name: bytes) -> str:
    """No account is called like that which has a `<`: Windows forbids it, so does useradd."""
    return "" if b"<" in name else _printable(name)


def _printable(name: bytes) -> str:
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() and len(name) <= NAME_BYTES_MAX else ""


def _asserted(kind: str, coded: bytes) -> Credential:
    """The assertion and, optionally, a name, coded as a name and its password are."""
    text = coded
    if not text.lstrip().startswith(b"<"):
        packed = "".join(_unescaped(_string(coded)))
        try:
            text = base64.b64decode(packed[:ASSERTION_BYTES_MAX], validate=True)
        except (binascii.Error, ValueError):
            return Credential(kind)
    assertion, _, rest = text.partition(b"\0")
    try:
        subject = principal(xml.parse(assertion)).subject
    except DecodeError:
        subject = ""
    subject = _printable(subject.encode("utf-8", "replace"))
    # Only beside an assertion: two other strings could be a name and its password.
    name = _name(_string(rest)) if subject else ""
    return Credential(kind, name or subject, subject=subject if name else "")


def _unescaped(coded: bytes) -> list[str]:
    head, *rest = coded.decode("latin-1").split("\\")
    return [head, *(each[:1].translate(_ESCAPED) + each[1:] for each in rest)]
