"""Every format by its name. `otlp` is not among them: only its transport speaks it."""

from collections.abc import Callable

from exporters.formats import (
    asim,
    cef,
    ecs,
    eve,
    hop,
    leef,
    ocsf,
    rfc5424,
    splunk,
    udm,
    zeek,
)
from exporters.formats.format import Format
from exporters.payload import payload_of
from exporters.transport import Tree

FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        hop.FORMAT,
        hop.MSGPACK,
        ecs.FORMAT,
        ocsf.FORMAT,
        cef.FORMAT,
        leef.FORMAT,
        rfc5424.RFC5424,
        splunk.FORMAT,
        asim.FORMAT,
        udm.FORMAT,
        eve.FORMAT,
        zeek.FORMAT,
    )
}


def line_writer(format: Format) -> Callable[[Tree], bytes]:
    """Writes records into one file: lines after the preamble, or msgpack, which needs neither."""
    end = b"" if format.name == "msgpack" else b"\n"
    waiting = [format.preamble.encode()] if format.preamble else []

    def line(record: Tree) -> bytes:
        head = waiting.pop() if waiting else b""
        return head + payload_of(format, record) + end

    return line
