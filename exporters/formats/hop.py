"""The record itself, which all other formats are made from: hop/1 as JSON or msgpack."""

from exporters.formats.format import Document, Format
from exporters.transport import Tree


def render(record: Tree) -> Document:
    return dict(record)


FORMAT = Format("hop", render)
MSGPACK = Format("msgpack", render)
