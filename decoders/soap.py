"""A framed transaction read as SOAP: header entries, operation with arguments, result or fault."""

from dataclasses import dataclass, field

from decoders import xml
from decoders.element import Element
from decoders.http import Headers
from decoders.message import Hasher, Outcome, Transaction
from decoders.seen import Seen

_HTML = (b"<!doctype html", b"<html")


@dataclass(frozen=True, slots=True)
class SoapTransaction:
    transaction: Transaction
    request: Headers
    response: Headers
    header: Element  # SOAP header of the request
    arguments: Element  # the operation's element: its children are the arguments
    result: Element  # the response's element: its children are `returnval`; empty when none
    outcome: Outcome
    fault: str  # InvalidLogin, or "HTTP 503" when no SOAP fault says why
    operation: str
    seen: Seen
    hasher: Hasher = field(repr=False)

    def hash(self, secret: str) -> str:
        return self.hasher(secret) if secret else ""

    @property
    def succeeded(self) -> bool:
        return self.outcome is Outcome.SUCCESS


def envelope(body: bytes) -> tuple[Element, Element]:
    """(header, first element of the body) of a SOAP envelope; empty elements for what is not there.

    An HTML page, as a proxy answers in the server's place, is no envelope. Raises DecodeError as
    xml.parse does.
    """
    if not body or body.lstrip()[:14].lower().startswith(_HTML):
        return Element(), Element()
    root = xml.parse(body)
    if root.name != "Envelope":
        return Element(), Element()
    children = root.at("Body").children
    return root.at("Header"), children[0] if children else Element()


def fault_name(fault: Element) -> str:
    """Of the detail's first element: the type it states, else its local name without "Fault"."""
    detail = fault.at("detail") or fault.at("Detail")  # SOAP 1.1, 1.2
    for entry in detail.children:
        return entry.xsi_type or entry.name.removesuffix("Fault")
    code = fault.value("faultcode") or fault.value("Code", "Value")
    return code.rpartition(":")[2]
