"""Who a SAML 2.0 assertion speaks of: the subject and, least recent first, its delegates.

The assertion itself stays where it is. What leaves is who it names, how long it holds, and a text
that tells it from every other one, to be hashed: whoever issues it and whoever takes it see the
same.
"""

import base64
import binascii
import zlib
from dataclasses import dataclass, field

from decoders import xml
from decoders.element import Element

ASSERTION_BYTES_MAX = 1 << 20  # unpacked; group memberships of one principal reach some 100 KiB
IS_SOLUTION = "http://vmware.com/schemas/attr-names/2011/07/isSolution"


@dataclass(frozen=True, slots=True)
class Principal:
    subject: str = ""
    delegates: tuple[str, ...] = ()
    identity: str = field(default="", repr=False)  # of the assertion; to be hashed
    not_after: str = ""  # xs:dateTime, as sent
    is_solution: bool = False  # a service's own account, no person
    is_delegable: bool = False

    @property
    def details(self) -> tuple[tuple[str, str], ...]:
        """What a record says beside the names."""
        stated = (
            ("assertion_not_after", self.not_after),
            ("is_solution", "true" if self.is_solution else ""),
            ("is_delegable", "true" if self.is_delegable else ""),
        )
        return tuple(pair for pair in stated if pair[1])


def principal(holder: Element) -> Principal:
    """Of the first assertion in or below `holder`; empty when there is none."""
    for element in holder.walk():
        if element.name == "Assertion":
            return _of_assertion(element)
    return Principal()


def _of_assertion(assertion: Element) -> Principal:
    conditions = assertion.at("Conditions")
    delegates = [
        (delegate.attributes.get("DelegationInstant", ""), delegate.value("NameID"))
        for delegate in conditions.walk()
        if delegate.name == "Delegate"
    ]
    delegates.sort(key=lambda each: each[0])
    return Principal(
        subject=assertion.value("Subject", "NameID"),
        delegates=tuple(name for _, name in delegates if name),
        identity=_identity(assertion),
        not_after=conditions.attributes.get("NotOnOrAfter", ""),
        is_solution=_is_solution(assertion),
        is_delegable=_count(conditions.at("ProxyRestriction")) > 0,
    )


def _identity(assertion: Element) -> str:
    """Id and signature: an id alone is what a forger writes first.

    Line breaks inside the signature may be changed on the way.
    """
    identity = assertion.attributes.get("ID", "")
    signature = "".join(assertion.value("Signature", "SignatureValue").split())
    return f"{identity} {signature}" if identity else ""


def _is_solution(assertion: Element) -> bool:
    return any(
        each.attributes.get("Name") == IS_SOLUTION
        and each.value("AttributeValue").lower() in ("true", "1")
        for each in assertion.at("AttributeStatement").all("Attribute")
    )


def _count(restriction: Element) -> int:
    """How often it may still be delegated."""
    stated = restriction.attributes.get("Count", "")
    return int(stated) if stated.isascii() and stated.isdigit() else 0


def sign_principal(token: str) -> Principal:
    """Of `Authorization: SIGN token="base64(gzip(assertion))"`.

    Raises DecodeError when the assertion carries a document type declaration or nests too deep.
    """
    try:
        packed = base64.b64decode(token)
        unpacker = zlib.decompressobj(47)  # gzip or zlib
        return principal(xml.parse(unpacker.decompress(packed, ASSERTION_BYTES_MAX)))
    except (binascii.Error, ValueError, zlib.error):
        return Principal()
