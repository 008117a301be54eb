"""Who a SAML 2.0 assertion speaks of: the subject and, least recent first, its delegates.

The assertion itself, its signature and its id are left where they are.
"""

import base64
import binascii
import zlib
from dataclasses import dataclass

from decoders import xml
from decoders.element import Element

ASSERTION_BYTES_MAX = 1 << 20  # unpacked; group memberships of one principal reach some 100 KiB


@dataclass(frozen=True, slots=True)
class Principal:
    subject: str = ""
    delegates: tuple[str, ...] = ()


def principal(holder: Element) -> Principal:
    """Of the first assertion in or below `holder`; empty when there is none."""
    for element in holder.walk():
        if element.name == "Assertion":
            return _of_assertion(element)
    return Principal()


def _of_assertion(assertion: Element) -> Principal:
    delegates = [
        (delegate.attributes.get("DelegationInstant", ""), delegate.value("NameID"))
        for delegate in assertion.at("Conditions").walk()
        if delegate.name == "Delegate"
    ]
    delegates.sort(key=lambda each: each[0])
    return Principal(
        assertion.value("Subject", "NameID"), tuple(name for _, name in delegates if name)
    )


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
