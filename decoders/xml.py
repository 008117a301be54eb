"""Bytes -> Element: expat, tolerant of what a sensor meets (cut bodies, undeclared prefixes),
refusing DTDs."""

from contextlib import suppress
from xml.parsers import expat

from decoders.element import Element, local_name
from decoders.message import DecodeError

DEPTH_MAX = 128  # libxml2 refuses 256; vim25 property trees stay below 20
ELEMENTS_MAX = 500_000  # names and UUIDs of 10,000 VMs are 160,000


class _TooManyError(Exception):
    pass


class _Builder:
    def __init__(self) -> None:
        self.root = Element()
        self._open: list[Element] = []
        self._texts: list[list[str]] = []  # of the open elements; joined once, so cost stays linear
        self._elements = 0

    def start(self, name: str, attributes: list[str]) -> None:
        element = Element(local_name(name))
        if attributes:
            _take_attributes(element, attributes)
        self._elements += 1
        if self._elements > ELEMENTS_MAX:
            raise _TooManyError
        if len(self._open) >= DEPTH_MAX:
            raise DecodeError(f"XML deeper than {DEPTH_MAX}")
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)
        self._texts.append([])

    def text(self, text: str) -> None:
        if self._texts:
            self._texts[-1].append(text)

    def end(self, _name: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())

    def doctype(self, *_declaration: object) -> None:
        raise DecodeError("XML with a document type declaration")

    def finish(self) -> None:
        """Ends what a cut body left open. A cut leaf loses its text: half a name is a wrong one."""
        while self._open:
            element, texts = self._open.pop(), self._texts.pop()
            element.text = "".join(texts) if element.children else ""


def _take_attributes(element: Element, attributes: list[str]) -> None:
    for at in range(0, len(attributes), 2):
        prefix, _, local = attributes[at].rpartition(":")
        if local == "type" and prefix:
            element.xsi_type = local_name(attributes[at + 1])
        else:
            element.attributes[local] = attributes[at + 1]


def parse(body: bytes) -> Element:
    """The root; an empty element when no start tag is whole. What follows an error is not read.

    Raises DecodeError on a document type declaration and on nesting past DEPTH_MAX.
    """
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.ordered_attributes = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = builder.doctype
    # Cut, malformed or in an unknown encoding: what was whole is kept.
    with suppress(expat.ExpatError, LookupError, ValueError, _TooManyError):
        parser.Parse(body, True)
    builder.finish()
    return builder.root
