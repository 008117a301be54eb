"""The JSON protocol of vim25 (vCenter 8.0 U1 and later), brought into the form of its SOAP twin.

POST /sdk/vim25/{release}/{type}/{id}/{operation}, with the arguments as one object; GET with a
property's name in place of the operation reads the property. A fault is the object itself,
`_typeName` its name; the session stands in a header.
"""

import re
from urllib.parse import unquote

from decoders import jsontree
from decoders.element import Element
from decoders.http import path_of
from decoders.message import Transaction

_PATH = re.compile(r"/sdk/vim25/[^/]+/([A-Za-z]+)/([^/]+)/([A-Za-z_]+)")
READ = "Fetch"  # what the same property read is called in SOAP


def is_json_call(transaction: Transaction) -> bool:
    return _PATH.fullmatch(path_of(transaction.target)) is not None


def read(transaction: Transaction) -> tuple[Element, Element, Element]:
    """(arguments, result, fault), each as its SOAP twin's element; one of the last two is empty."""
    found = _PATH.fullmatch(path_of(transaction.target))
    if found is None:
        return Element(), Element(), Element()
    kind, identifier, name = found.groups()
    this = Element("_this", unquote(identifier))
    this.attributes["type"] = kind
    if transaction.method == "GET":
        arguments = Element(READ)
        arguments.children = [this, Element("prop", name)]
    else:
        arguments = jsontree.parse(transaction.request_body, name) or Element(name)
        arguments.children.insert(0, this)
    if transaction.status >= 300:
        return arguments, Element(), _fault(transaction.response_body)
    result = Element(f"{arguments.name}Response")
    result.children = jsontree.parse_all(transaction.response_body, "returnval")
    return arguments, result, Element()


def _fault(body: bytes) -> Element:
    fault = Element("Fault")
    if stated := jsontree.parse(body, "fault").xsi_type:
        detail = Element("detail")
        detail.children = [Element("fault", xsi_type=stated)]
        fault.children = [detail]
    return fault
