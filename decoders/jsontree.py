"""JSON -> Element: object members become children, array items repeat the member's name.

So a decoder reads the JSON twin of an XML API with the same code. `_typeName` is xsi:type, and
a managed object reference of the vim25 JSON protocol {type, value} looks like its SOAP form.
"""

import json

from decoders.element import Element
from decoders.message import DecodeError


def parse(body: bytes, name: str = "body") -> Element:
    """The tree under `name`; an empty element when the body is no whole JSON text.

    Raises DecodeError when it is nested deeper than the interpreter reads.
    """
    return next(iter(parse_all(body, name, whole=True)), Element())


def parse_all(body: bytes, name: str, *, whole: bool = False) -> list[Element]:
    """As parse(), but the items of a list at the top are elements of their own unless `whole`."""
    try:
        value = json.loads(body)
        if isinstance(value, list) and not whole:
            return [_element(name, item) for item in value]
        return [_element(name, value)]
    except RecursionError:
        raise DecodeError("JSON nested too deep") from None
    except ValueError:  # UnicodeDecodeError is one
        return []


def _element(name: str, value: object) -> Element:
    if isinstance(value, dict):
        return _object(name, value)
    element = Element(name)
    if isinstance(value, list):
        element.children = [_element("item", item) for item in value]
    elif isinstance(value, bool):
        element.text = "true" if value else "false"
    elif value is not None:
        # A lone surrogate, as an escape can make it, has no place in any encoding.
        element.text = str(value).encode("utf-8", "replace").decode()
    return element


def _object(name: str, members: dict[str, object]) -> Element:
    element = Element(name, xsi_type=str(members.get("_typeName", "")))
    if element.xsi_type == "ManagedObjectReference":
        element.attributes["type"] = str(members.get("type", ""))
        element.text = str(members.get("value", ""))
        return element
    if "_value" in members:  # a primitive, or an array, where any type may stand
        boxed = _element(name, members["_value"])
        boxed.xsi_type = element.xsi_type
        return boxed
    for key, value in members.items():
        if isinstance(value, list):
            element.children += [_element(key, item) for item in value]
        else:
            element.children.append(_element(key, value))
    return element
